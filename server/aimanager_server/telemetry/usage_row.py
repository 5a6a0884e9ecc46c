"""What calls came to in some stretch of time: how many, how they ended, what they took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.usage import Cost, Usage
from .histogram import Histogram

CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Row:
    """The sums of one provider and model, or of all where both are empty.

    Latencies are in seconds, of answers only, within ±5 %; None where there was no answer. `cost` is None where
    nothing had a known price.
    """

    provider: str
    model: str
    requests: int
    failures: int
    fallbacks: int
    input_tokens: int
    output_tokens: int
    cost: Cost | None
    latency_p50: float | None
    latency_p95: float | None
    first_token_p50: float | None
    failures_by_reason: Mapping[str, int]


class Tally:
    """Sums that grow, and can be joined with those of another time or another model."""

    __slots__ = (
        "_estimated",
        "_failures",
        "_fallbacks",
        "_first_token",
        "_input_nanos",
        "_input_tokens",
        "_latency",
        "_output_nanos",
        "_output_tokens",
        "_priced",
        "_reasons",
        "_requests",
    )

    def __init__(self) -> None:
        self._requests = self._failures = self._fallbacks = 0
        self._input_tokens = self._output_tokens = 0
        self._input_nanos = self._output_nanos = 0
        self._priced = self._estimated = False
        self._reasons: dict[str, int] | None = None
        self._latency, self._first_token = Histogram(), Histogram()

    def ended(self, reason: str, *, fell_back: bool, latency: float | None, first_token: float | None) -> None:
        """Count a call; `reason` is empty where it was answered, and only then do the other facts count."""
        self._requests += 1
        if reason:
            self._failures += 1
            self._count(reason, 1)
            return
        self._fallbacks += fell_back
        if latency is not None:
            self._latency.add(latency)
        if first_token is not None:
            self._first_token.add(first_token)

    def spent(self, usage: Usage, cost: Cost | None) -> None:
        """Add tokens and money; an unknown price, or one in another currency than US dollars, is left out."""
        self._input_tokens += usage.input_tokens
        self._output_tokens += usage.output_tokens
        if cost is not None and cost.currency == CURRENCY:
            self._priced = True
            self._estimated |= cost.estimated
            self._input_nanos += cost.input_nanos
            self._output_nanos += cost.output_nanos

    def join(self, other: Tally) -> None:
        """Add all that the other has."""
        self._requests += other._requests
        self._failures += other._failures
        self._fallbacks += other._fallbacks
        self._input_tokens += other._input_tokens
        self._output_tokens += other._output_tokens
        self._input_nanos += other._input_nanos
        self._output_nanos += other._output_nanos
        self._priced |= other._priced
        self._estimated |= other._estimated
        for reason, count in (other._reasons or {}).items():
            self._count(reason, count)
        self._latency.join(other._latency)
        self._first_token.join(other._first_token)

    def pack(self) -> None:
        """Take as little room as possible, once the stretch of time is over."""
        self._latency.pack()
        self._first_token.pack()

    def row(self, provider: str = "", model: str = "") -> Row:
        """The sums as they are now."""
        return Row(
            provider,
            model,
            self._requests,
            self._failures,
            self._fallbacks,
            self._input_tokens,
            self._output_tokens,
            self._cost(),
            self._latency.percentile(0.5),
            self._latency.percentile(0.95),
            self._first_token.percentile(0.5),
            dict(self._reasons or {}),
        )

    def _count(self, reason: str, count: int) -> None:
        if self._reasons is None:
            self._reasons = {}
        self._reasons[reason] = self._reasons.get(reason, 0) + count

    def _cost(self) -> Cost | None:
        return Cost(self._input_nanos, self._output_nanos, CURRENCY, self._estimated) if self._priced else None
