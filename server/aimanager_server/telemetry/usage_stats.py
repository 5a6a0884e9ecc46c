"""Requests, tokens, cost and latency by provider and model, per minute, for the last day."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..core.attempts import AttemptRecord
from ..core.handler import Clock
from ..core.usage import Cost, Usage
from .histogram import DurationHistogram

MINUTE_SECONDS = 60.0
DAY_SECONDS = 86_400.0
HOUR_MINUTES = 60
DAY_MINUTES = 1440
MAX_BUCKETS = 50_000
"""35 models used in every minute of a day. Above this number the oldest minutes are dropped early."""

CURRENCY = "USD"
OTHER = "other"
"""Row name for models that are not in the catalog."""


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


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Totals of a time window. Times are in seconds since the Unix epoch; rows are sorted by provider and model."""

    start_time: float
    end_time: float
    uptime: float
    total: UsageRow
    rows: tuple[UsageRow, ...]


class UsageBucket:
    """Running totals of one provider and model within one period. Buckets can be merged."""

    __slots__ = (
        "_estimated", "_failures", "_fallbacks", "_input_nanos", "_input_tokens", "_latency", "_output_nanos",
        "_output_tokens", "_priced", "_reasons", "_requests", "_time_to_first_token",
    )  # fmt: skip

    def __init__(self) -> None:
        self._requests = self._failures = self._fallbacks = 0
        self._input_tokens = self._output_tokens = 0
        self._input_nanos = self._output_nanos = 0
        self._priced = self._estimated = False
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
        )

    def _count_reason(self, reason: str, count: int) -> None:
        if self._reasons is None:
            self._reasons = {}
        self._reasons[reason] = self._reasons.get(reason, 0) + count

    def _cost(self) -> Cost | None:
        return Cost(self._input_nanos, self._output_nanos, CURRENCY, self._estimated) if self._priced else None


Buckets = dict[tuple[str, str], UsageBucket]
"""Buckets of one period by provider and model."""


class UsageStats:
    """Totals by provider and model, in buckets of one minute since the server started.

    `clock` is monotonic; `wall_clock` returns seconds since the Unix epoch. `is_known_model` receives a provider and a
    model. Unknown models are counted as "other", so that callers cannot create rows by inventing names.
    """

    def __init__(self, clock: Clock, wall_clock: Clock, is_known_model: Callable[[str, str], bool]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._is_known_model = is_known_model
        self._started = clock()
        self._minute = 0
        self._current: Buckets = {}
        self._minutes: deque[tuple[int, Buckets]] = deque([(0, self._current)])
        self._hours: dict[int, Buckets] = {}
        self._oldest = 0
        self._bucket_count = 0

    def record_call(
        self,
        provider: str,
        model: str,
        reason: str,
        *,
        used_fallback: bool,
        latency: float | None,
        time_to_first_token: float | None,
    ) -> None:
        """Count a request under its first target, `provider` and `model`.

        `reason` is the error's reason, empty for a success. Times are in seconds; a failure ignores them.
        """
        self._bucket(provider, model).record_call(
            reason, used_fallback=used_fallback, latency=latency, time_to_first_token=time_to_first_token
        )

    def attempt_started(self, record: AttemptRecord) -> None:
        """Do nothing: usage is known when an attempt ends."""

    def attempt_ended(self, record: AttemptRecord) -> None:
        """Add the tokens and cost of one attempt."""
        if record.usage is not None:
            self.record_usage(record.provider, record.model, record.usage, record.cost)

    def record_usage(self, provider: str, model: str, usage: Usage, cost: Cost | None) -> None:
        """Add the tokens and cost of one attempt. `cost` is None if the price is unknown."""
        self._bucket(provider, model).record_usage(usage, cost)

    def summary(self, window: float, provider: str = "", model: str = "") -> UsageSummary:
        """Return the totals of the last `window` seconds, at most a day.

        The window is extended back to the start of a minute, but not to before the server started. `provider` and
        `model` filter the rows; `model` may include the provider, as in "openai/gpt-5". A filter without a match
        returns no rows.
        """
        self._rotate()
        uptime = self._clock() - self._started
        first = max(int((uptime - min(window, DAY_SECONDS)) // MINUTE_SECONDS), self._oldest)
        merged: Buckets = {}
        for buckets in self._since(first):
            _merge(merged, {key: bucket for key, bucket in buckets.items() if _matches(key, provider, model)})
        total = UsageBucket()
        for bucket in merged.values():
            total.merge(bucket)
        now = self._wall_clock()
        start_time = now - (uptime - first * MINUTE_SECONDS)
        rows = tuple(merged[key].row(*key) for key in sorted(merged))
        return UsageSummary(start_time, now, uptime, total.row(), rows)

    def _bucket(self, provider: str, model: str) -> UsageBucket:
        if self._clock() - self._started >= (self._minute + 1) * MINUTE_SECONDS:
            self._rotate()
        return self._current.get((provider, model)) or self._add_bucket(provider, model)

    def _add_bucket(self, provider: str, model: str) -> UsageBucket:
        key = (provider, model if self._is_known_model(provider, model) else OTHER)
        bucket = self._current.get(key)
        if bucket is None:
            bucket = self._current[key] = UsageBucket()
            self._bucket_count += 1
            self._evict()
        return bucket

    def _rotate(self) -> None:
        """Start the buckets of the current minute and merge the previous minute into its hour."""
        minute = int((self._clock() - self._started) // MINUTE_SECONDS)
        if minute == self._minute:
            return
        for bucket in self._current.values():
            bucket.compact()
        hour = self._minute // HOUR_MINUTES
        _merge(self._hours.setdefault(hour, {}), self._current)
        if minute // HOUR_MINUTES > hour:
            for bucket in self._hours[hour].values():
                bucket.compact()
        self._minute, self._current = minute, {}
        self._minutes.append((minute, self._current))
        self._evict()

    def _evict(self) -> None:
        self._oldest = max(self._oldest, self._minute - DAY_MINUTES)
        while self._minutes[0][0] < self._oldest or (self._bucket_count > MAX_BUCKETS and len(self._minutes) > 1):
            minute, buckets = self._minutes.popleft()
            self._oldest = max(self._oldest, minute + 1)
            self._bucket_count -= len(buckets)
        for hour in [hour for hour in self._hours if (hour + 1) * HOUR_MINUTES <= self._oldest]:
            del self._hours[hour]

    def _since(self, first: int) -> Iterator[Buckets]:
        """Yield the buckets from minute `first` on, using hourly buckets for complete hours: 60 times fewer merges."""
        complete_hours = range(-(-first // HOUR_MINUTES), self._minute // HOUR_MINUTES)
        for minute, buckets in self._minutes:
            if minute >= first and minute // HOUR_MINUTES not in complete_hours:
                yield buckets
        for hour in complete_hours:
            yield self._hours.get(hour, {})


def _merge(into: Buckets, more: Buckets) -> None:
    for key, bucket in more.items():
        into.setdefault(key, UsageBucket()).merge(bucket)


def _matches(key: tuple[str, str], provider: str, model: str) -> bool:
    return provider in ("", key[0]) and model in ("", key[1], f"{key[0]}/{key[1]}")
