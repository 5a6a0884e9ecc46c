"""Count the input tokens of a call: by the provider if it can, otherwise by an estimate from the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import DeadlineExceeded, GatewayError
from ..core.handler import Clock, TokenCounter
from ..core.request import Attempt, Call
from ..core.token_estimate import estimate_tokens
from ..core.usage import UsageSource
from ..telemetry.logger import get_logger
from .unary_adapter import Layers, run_through

COUNT_TIMEOUT_SECONDS = 10.0
"""Timeout of the provider's count; after that, an estimate is more useful."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The input tokens of a call, and whether the provider reported them or they are estimated."""

    provider: str
    model: str
    input_tokens: int
    source: UsageSource


class CountTokens:
    """Count tokens with the provider's `counter`, unless its circuit breaker is open.

    `layers` run around the request. They must not include the circuit breaker: a successful count does not show that
    the model responds.
    """

    def __init__(
        self,
        layers: Layers[Attempt[Any]],
        counters: Mapping[str, TokenCounter],
        is_breaker_open: Callable[[str, str], bool],
        clock: Clock,
    ) -> None:
        self._layers = layers
        self._counters = counters
        self._is_breaker_open = is_breaker_open
        self._clock = clock
        self._log = get_logger()

    async def __call__(self, call: Call) -> TokenCount:
        """Return the count for the first target. Raises GatewayError if the provider would reject the call itself."""
        provider, model = call.target.key
        count = await self._provider_count(call.with_targets(call.target))
        if count is None:
            return TokenCount(provider, model, estimate_tokens(call), UsageSource.ESTIMATED)
        return TokenCount(provider, model, count, UsageSource.REPORTED)

    async def _provider_count(self, call: Call) -> int | None:
        """Return the provider's count; None if it does not count tokens or is not available."""
        provider, model = call.target.key
        counter = self._counters.get(provider)
        if counter is None or self._is_breaker_open(provider, model):
            return None
        timed_call = replace(call, deadline=min(call.deadline, self._clock() + COUNT_TIMEOUT_SECONDS))
        try:
            count, _ = await run_through(self._layers, timed_call, counter.count_tokens)
        except GatewayError as error:
            has_timed_out = isinstance(error, DeadlineExceeded) and self._clock() < call.deadline
            if error.spec.fallback != "next" and not has_timed_out:
                raise
            self._log.info("token_count.estimated", provider=provider, model=model, reason=error.reason)
            return None
        return count
