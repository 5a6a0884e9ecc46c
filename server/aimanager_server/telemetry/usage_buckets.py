"""Running totals of requests, tokens, cost and latency by provider and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.usage import Cost, Usage, add_cost
from .histogram import DurationHistogram

CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Totals of one provider and model, or of all of them if both names are empty.

    Latencies are in seconds within ±5 %, of successful requests only; None without any. `cost` is None if no request
    had a known price.
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
    time_to_first_token_p50: float | None
    failures_by_reason: Mapping[str, int]
    cache_hits: int = 0
    saved_cost: Cost | None = None


class UsageBucket:
    """Running totals of one provider and model within one period. Buckets can be merged."""

    __slots__ = (
        "_cache_hits", "_estimated", "_failures", "_fallbacks", "_input_nanos", "_input_tokens", "_latency",
        "_output_nanos", "_output_tokens", "_priced", "_reasons", "_requests", "_saved_cost", "_time_to_first_token",
    )  # fmt: skip

    def __init__(self) -> None:
        self._requests = self._failures = self._fallbacks = 0
        self._input_tokens = self._output_tokens = 0
        self._input_nanos = self._output_nanos = 0
        self._priced = self._estimated = False
        self._cache_hits = 0
        self._saved_cost: Cost | None = None
        self._reasons: dict[str, int] | None = None
        self._latency, self._time_to_first_token = DurationHistogram(), DurationHistogram()

    def record_call(
        self, reason: str, *, used_fallback: bool, latency: float | None, time_to_first_token: float | None
    ) -> None:
        """Count a request. `reason` is the error's reason, empty for a success; a failure ignores the other values."""
        self._requests += 1
        if reason:
            self._failures += 1
            self._count_reason(reason, 1)
            return
        self._fallbacks += used_fallback
        if latency is not None:
            self._latency.record(latency)
        if time_to_first_token is not None:
            self._time_to_first_token.record(time_to_first_token)

    def record_hit(self, saved_cost: Cost | None) -> None:
        """Count a request that the response cache answered. A cost that is not in US dollars is ignored."""
        self._cache_hits += 1
        if saved_cost is not None and saved_cost.currency == CURRENCY:
            self._saved_cost = saved_cost if self._saved_cost is None else add_cost(self._saved_cost, saved_cost)

    def record_usage(self, usage: Usage, cost: Cost | None) -> None:
        """Add tokens and cost. A cost that is unknown or not in US dollars is ignored."""
        self._input_tokens += usage.input_tokens
        self._output_tokens += usage.output_tokens
        if cost is not None and cost.currency == CURRENCY:
            self._priced = True
            self._estimated |= cost.estimated
            self._input_nanos += cost.input_nanos
            self._output_nanos += cost.output_nanos

    def merge(self, other: UsageBucket) -> None:
        """Add the totals of another bucket."""
        self._requests += other._requests
        self._failures += other._failures
        self._fallbacks += other._fallbacks
        self._input_tokens += other._input_tokens
        self._output_tokens += other._output_tokens
        self._input_nanos += other._input_nanos
        self._output_nanos += other._output_nanos
        self._priced |= other._priced
        self._estimated |= other._estimated
        self._cache_hits += other._cache_hits
        if other._saved_cost is not None:
            self._saved_cost = add_cost(self._saved_cost or Cost(0, 0, CURRENCY, estimated=False), other._saved_cost)
        for reason, count in (other._reasons or {}).items():
            self._count_reason(reason, count)
        self._latency.merge(other._latency)
        self._time_to_first_token.merge(other._time_to_first_token)

    def compact(self) -> None:
        """Reduce memory once the period is over."""
        self._latency.compact()
        self._time_to_first_token.compact()

    def row(self, provider: str = "", model: str = "") -> UsageRow:
        """Return the current totals."""
        return UsageRow(
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
            self._time_to_first_token.percentile(0.5),
            dict(self._reasons or {}),
            self._cache_hits,
            self._saved_cost,
        )

    def _count_reason(self, reason: str, count: int) -> None:
        if self._reasons is None:
            self._reasons = {}
        self._reasons[reason] = self._reasons.get(reason, 0) + count

    def _cost(self) -> Cost | None:
        return Cost(self._input_nanos, self._output_nanos, CURRENCY, self._estimated) if self._priced else None


Buckets = dict[tuple[str, str], UsageBucket]
"""Buckets of one period by provider and model."""


def merge(into: Buckets, more: Buckets) -> None:
    """Add the totals of some buckets to those of others."""
    for key, bucket in more.items():
        into.setdefault(key, UsageBucket()).merge(bucket)
