"""Requests, tokens, cost and latency by caller, provider and model, for the last day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..core.attempts import AttemptRecord
from ..core.handler import Clock
from .caller_usage import DAY_MINUTES, MINUTE_SECONDS, CallerUsage
from .usage_buckets import Buckets, UsageBucket, UsageRow, merge

DAY_SECONDS = 86_400.0
MAX_BUCKETS = 50_000
"""Buckets of one minute of all callers: 35 models used in every minute of a day."""

MIN_BUCKETS_PER_CALLER = 120
"""Each caller has as many even if there are so many callers that they exceed MAX_BUCKETS together."""


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Totals of a time window. Times are in seconds since the Unix epoch; rows are sorted by provider and model."""

    start_time: float
    end_time: float
    uptime: float
    total: UsageRow
    rows: tuple[UsageRow, ...]


class UsageStats:
    """The usage of each caller since the server started, for the last day.

    `clock` is monotonic; `wall_clock` returns seconds since the Unix epoch. `is_known_model` receives a provider and a
    model. At most `max_callers` are told apart, without those that were idle for a day; the usage of further ones is
    part of all totals but has no caller.
    """

    def __init__(
        self, clock: Clock, wall_clock: Clock, is_known_model: Callable[[str, str], bool], max_callers: int = 1
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._is_known_model = is_known_model
        self._callers: dict[str, CallerUsage] = {}
        self.reconfigure(max_callers)
        self._started = clock()
        self._others = self._new_usage()

    def reconfigure(self, max_callers: int) -> None:
        """Tell so many callers apart from now on, in addition to those that are told apart already."""
        self._max_callers = max(max_callers, 1) + len(self._callers)
        self._max_buckets = max(MAX_BUCKETS // self._max_callers, MIN_BUCKETS_PER_CALLER)

    @property
    def entries(self) -> int:
        """Number of buckets of all callers."""
        return sum(usage.bucket_count for usage in self._select(None))

    def of(self, caller: str) -> CallerUsage:
        """Return the usage of a caller, to record in while one of its calls is in flight."""
        return self._callers.get(caller) or self._add(caller)

    @property
    def unauthenticated(self) -> CallerUsage:
        """The usage that is part of all totals but has no caller."""
        return self._others

    def attempt_started(self, record: AttemptRecord) -> None:
        """Do nothing: usage is known when an attempt ends."""

    def attempt_ended(self, record: AttemptRecord) -> None:
        """Add the tokens and cost of one attempt to those of its caller."""
        self.of(record.caller).record_attempt(record)

    def in_flight(self, caller: str | None = None) -> int:
        """Return the number of calls in flight of one caller, or of all."""
        return sum(usage.in_flight for usage in self._select(caller))

    def summary(self, window: float, provider: str = "", model: str = "", caller: str | None = None) -> UsageSummary:
        """Return the totals of one caller, or of all, for the last `window` seconds, at most a day.

        The window is extended back to the start of a minute, or of an hour where minutes are no longer known, but not
        to before the server started. `provider` and `model` filter the rows; `model` may include the provider, as in
        "openai/gpt-5". A filter without a match returns no rows.
        """
        uptime = self._clock() - self._started
        oldest = max(int(uptime // MINUTE_SECONDS) - DAY_MINUTES, 0)
        first = max(int((uptime - min(window, DAY_SECONDS)) // MINUTE_SECONDS), oldest)
        usages = tuple(self._select(caller))
        first = min((usage.first_minute(first) for usage in usages), default=first)
        merged: Buckets = {}
        for usage in usages:
            for buckets in usage.since(first):
                merge(merged, {key: bucket for key, bucket in buckets.items() if _matches(key, provider, model)})
        total = UsageBucket()
        for bucket in merged.values():
            total.merge(bucket)
        now = self._wall_clock()
        start_time = now - (uptime - first * MINUTE_SECONDS)
        rows = tuple(merged[key].row(*key) for key in sorted(merged))
        return UsageSummary(start_time, now, uptime, total.row(), rows)

    def _select(self, caller: str | None) -> Iterable[CallerUsage]:
        if caller is None:
            return (*self._callers.values(), self._others)
        return (self._callers[caller],) if caller in self._callers else ()

    def _add(self, caller: str) -> CallerUsage:
        if len(self._callers) >= self._max_callers:
            self._callers = {name: usage for name, usage in self._callers.items() if not usage.is_idle}
        if len(self._callers) >= self._max_callers:
            return self._others
        usage = self._callers[caller] = self._new_usage()
        return usage

    def _new_usage(self) -> CallerUsage:
        return CallerUsage(self._clock, self._started, self._is_known_model, self._max_buckets)


def _matches(key: tuple[str, str], provider: str, model: str) -> bool:
    return provider in ("", key[0]) and model in ("", key[1], f"{key[0]}/{key[1]}")
