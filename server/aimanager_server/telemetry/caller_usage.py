"""The usage of one caller, per minute and per hour, for the last day."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from ..core.attempts import AttemptRecord
from ..core.handler import Clock
from ..core.usage import Cost, Usage
from .usage_buckets import Buckets, UsageBucket, merge

MINUTE_SECONDS = 60.0
HOUR_MINUTES = 60
DAY_MINUTES = 1440

OTHER = "other"
"""Row name for models that are not in the catalog."""


class CallerUsage:
    """Totals of one caller by provider and model, in buckets of one minute and of one hour since `started`.

    Hours are kept for a day. Minutes are too, up to `max_buckets` buckets; above that number the oldest minutes are
    known only as part of their hour. `in_flight` is the number of its calls in flight. Unknown models are counted as
    "other", so that callers cannot create rows by inventing names.
    """

    __slots__ = (
        "_bucket_count", "_clock", "_current", "_first_minute", "_hours", "_is_known_model", "_max_buckets", "_minute",
        "_minutes", "_started", "in_flight",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, started: float, is_known_model: Callable[[str, str], bool], max_buckets: int
    ) -> None:
        self.in_flight = 0
        self._clock = clock
        self._started = started
        self._is_known_model = is_known_model
        self._max_buckets = max_buckets
        self._minute = self._minute_now()
        self._current: Buckets = {}
        self._minutes: deque[tuple[int, Buckets]] = deque([(self._minute, self._current)])
        self._hours: dict[int, Buckets] = {}
        self._first_minute = 0
        self._bucket_count = 0

    @property
    def is_idle(self) -> bool:
        """Return whether no call is in flight and nothing was recorded for a day."""
        self._rotate()
        return not (self.in_flight or self._current or self._hours)

    @property
    def bucket_count(self) -> int:
        """Number of buckets of one minute."""
        return self._bucket_count

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

    def record_hit(self, provider: str, model: str, saved_cost: Cost | None) -> None:
        """Count a request that the response cache answered, under its first target."""
        self._bucket(provider, model).record_hit(saved_cost)

    def record_attempt(self, record: AttemptRecord) -> None:
        """Add the tokens and cost of one attempt."""
        if record.usage is not None:
            self.record_usage(record.provider, record.model, record.usage, record.cost)

    def record_usage(self, provider: str, model: str, usage: Usage, cost: Cost | None) -> None:
        """Add tokens and cost. `cost` is None if the price is unknown."""
        self._bucket(provider, model).record_usage(usage, cost)

    def first_minute(self, minute: int) -> int:
        """Return the last minute, not after `minute`, from which on the totals are known."""
        self._rotate()
        return minute if minute >= self._first_minute else minute // HOUR_MINUTES * HOUR_MINUTES

    def since(self, first: int) -> Iterator[Buckets]:
        """Yield the buckets from a minute on that `first_minute` returned. Complete hours take one bucket per model."""
        self._rotate()
        hours = range(-(-first // HOUR_MINUTES), self._minute // HOUR_MINUTES + 1)
        for hour in hours:
            yield self._hours.get(hour, {})
        for minute, buckets in self._minutes:
            # The current minute is not part of its hour yet.
            if minute >= first and (minute == self._minute or minute // HOUR_MINUTES not in hours):
                yield buckets

    def _minute_now(self) -> int:
        return int((self._clock() - self._started) // MINUTE_SECONDS)

    def _bucket(self, provider: str, model: str) -> UsageBucket:
        if self._clock() - self._started >= (self._minute + 1) * MINUTE_SECONDS:
            self._rotate()
        return self._current.get((provider, model)) or self._add_bucket(provider, model)

    def _add_bucket(self, provider: str, model: str) -> UsageBucket:
        key = (provider, model if not model or self._is_known_model(provider, model) else OTHER)
        bucket = self._current.get(key)
        if bucket is None:
            bucket = self._current[key] = UsageBucket()
            self._bucket_count += 1
            self._evict()
        return bucket

    def _rotate(self) -> None:
        """Start the buckets of the current minute and merge the previous minute into its hour."""
        minute = self._minute_now()
        if minute == self._minute:
            return
        hour = self._minute // HOUR_MINUTES
        if self._current:
            _compact(self._current)
            merge(self._hours.setdefault(hour, {}), self._current)
        else:
            self._minutes.pop()
        if minute // HOUR_MINUTES > hour:
            _compact(self._hours.get(hour, {}))
        self._minute, self._current = minute, {}
        self._minutes.append((minute, self._current))
        self._evict()

    def _evict(self) -> None:
        oldest = self._minute - DAY_MINUTES
        while self._minutes[0][0] < oldest or (self._bucket_count > self._max_buckets and len(self._minutes) > 1):
            minute, buckets = self._minutes.popleft()
            self._first_minute = minute + 1
            self._bucket_count -= len(buckets)
        for hour in [hour for hour in self._hours if (hour + 1) * HOUR_MINUTES <= oldest]:
            del self._hours[hour]


def _compact(buckets: Buckets) -> None:
    for bucket in buckets.values():
        bucket.compact()
