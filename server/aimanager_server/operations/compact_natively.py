"""Have a provider compact the older turns of a conversation in a form that only it can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.compaction import CompactedPrompt, Compactor
from ..core.conversation import Compaction
from ..core.errors import CapabilityUnsupported, GatewayError
from ..core.request import Attempt, Call
from ..core.usage import Cost, Usage
from .unary_adapter import Layers, finished_with, run_through


@dataclass(frozen=True, slots=True)
class NativeCompaction:
    """A provider's compaction and what it cost; `cost` is None if the price is unknown."""

    compaction: Compaction
    usage: Usage
    cost: Cost | None


class CompactNatively:
    """Compact the messages of a call with the provider's own endpoint.

    `layers` run around the request. They must not include the circuit breaker: a server without the endpoint would
    open it, although its models respond.
    """

    def __init__(self, layers: Layers[Attempt[Any]], compactors: Mapping[str, Compactor]) -> None:
        self._layers = layers
        self._compactors = compactors

    async def __call__(self, call: Call) -> NativeCompaction:
        """Return the compaction by the first target. Raises CapabilityUnsupported if it has none, and GatewayError.

        The error has the usage and the cost of what the provider billed.
        """
        provider, model = call.target.key
        compactor = self._compactors.get(provider)
        if compactor is None or not compactor.can_compact(model):
            message = f"{provider} has no native compaction for {model}."
            raise CapabilityUnsupported(message, provider=provider, model=model)

        def to_finished(compacted: CompactedPrompt) -> Any:
            return finished_with(compacted.usage)

        try:
            compacted, finished = await run_through(
                self._layers, call.with_targets(call.target), compactor.compact, to_finished
            )
        except GatewayError as error:
            raise error.with_attempts(call.attempts) from error.__cause__
        return NativeCompaction(Compaction(provider, model, compacted.provider_state), finished.usage, finished.cost)
