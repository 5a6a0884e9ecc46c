"""Counts the tokens of a question: by its provider where that one counts, else roughly, from the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from ..core.errors import DeadlineExceeded, GatewayError
from ..core.handler import Clock, Layer, TokenCounter
from ..core.request import Call
from ..core.usage import UsageSource
from ..pipeline.quota import estimate_tokens
from .unary_adapter import behind

COUNT_SECONDS = 10.0
"""How long a provider may take: after that a rough count is of more use."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of the whole input, and who counted."""

    provider: str
    model: str
    input_tokens: int
    source: UsageSource


class Count:
    """Asks `counters`, by provider. A provider whose circuit is open is not asked.

    `layers` stand around the asking. The breaker is not among them: that counting works says nothing of answering.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        counters: Mapping[str, TokenCounter],
        is_open: Callable[[str, str], bool],
        clock: Clock,
    ) -> None:
        self._layers = tuple(layers)
        self._counters = counters
        self._is_open = is_open
        self._clock = clock
        self._log = structlog.get_logger()

    async def __call__(self, call: Call) -> Counted:
        """The count for the first target. Raises what makes the question one that the provider would refuse."""
        target = call.target
        count = await self._told(call.with_targets(target))
        if count is None:
            return Counted(target.provider, target.model, estimate_tokens(call), UsageSource.ESTIMATED)
        return Counted(target.provider, target.model, count, UsageSource.REPORTED)

    async def _told(self, call: Call) -> int | None:
        """The provider's count; None where it has none, or cannot be asked now."""
        target = call.target
        counter = self._counters.get(target.provider)
        if counter is None or self._is_open(target.provider, target.model):
            return None
        soon = min(call.deadline, self._clock() + COUNT_SECONDS)
        try:
            return await self._asked(replace(call, deadline=soon), counter)
        except GatewayError as fault:
            is_only_slow = isinstance(fault, DeadlineExceeded) and self._clock() < call.deadline
            if fault.spec.fallback != "next" and not is_only_slow:
                raise
            self._log.info("tokens.estimated", provider=target.provider, model=target.model, reason=fault.reason)
            return None

    async def _asked(self, call: Call, counter: TokenCounter) -> int | None:
        count, _ = await behind(self._layers, call, counter.count_tokens)
        return count
