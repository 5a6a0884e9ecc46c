"""Totals per minute, compared to the recorded events themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.telemetry.caller_usage import HOUR_MINUTES, MINUTE_SECONDS, CallerUsage
from aimanager_server.telemetry.model_stats import percentile
from aimanager_server.telemetry.usage_buckets import UsageRow
from aimanager_server.telemetry.usage_stats import (
    DAY_SECONDS,
    MAX_BUCKETS,
    MIN_BUCKETS_PER_CALLER,
    UsageStats,
    UsageSummary,
)
from tests.support.clock import FakeClock

STABLE = settings(derandomize=True, database=None, deadline=None, max_examples=100)
MODELS = [("claude", "opus"), ("claude", "haiku"), ("openai", "gpt")]


@dataclass(frozen=True)
class Event:
    """A call that ended `pause` seconds after the previous one."""

    pause: int
    target: tuple[str, str]
    reason: str
    used_fallback: bool
    latency: float
    tokens: int
    cost: Cost | None


EVENTS = st.builds(
    Event,
    pause=st.one_of(st.integers(0, 90), st.integers(0, 30_000)),
    target=st.sampled_from(MODELS),
    reason=st.sampled_from(["", "", "PROVIDER_ERROR", "CANCELLED"]),
    used_fallback=st.booleans(),
    latency=st.floats(0.001, 1000),
    tokens=st.integers(0, 10**9),
    cost=st.one_of(st.none(), st.builds(Cost, st.integers(0, 10**15), st.integers(0, 10**15))),
)
HISTORIES = st.lists(EVENTS, max_size=40)
WINDOWS = st.one_of(st.integers(1, 7200), st.integers(1, int(DAY_SECONDS)))


def usage_stats(clock: FakeClock | None = None, *, known: tuple[str, ...] | None = None) -> UsageStats:
    clock = clock or FakeClock()
    return UsageStats(clock, clock, lambda provider, model: known is None or model in known)


def record_call(stats: UsageStats, provider: str, model: str, reason: str = "", caller: str = "") -> None:
    stats.of(caller).record_call(provider, model, reason, used_fallback=False, latency=1.0, time_to_first_token=None)


def summarize(events: list[Event], window: float) -> tuple[UsageSummary, list[Event]]:
    """Record a history; return its summary and the events inside the summary's window."""
    clock, dated = FakeClock(), []
    stats = usage_stats(clock)
    for event in events:
        clock.advance(event.pause)
        stats.of("").record_call(
            *event.target,
            event.reason,
            used_fallback=event.used_fallback,
            latency=event.latency,
            time_to_first_token=event.latency / 4,
        )
        stats.of("").record_usage(*event.target, Usage(event.tokens, 2 * event.tokens), event.cost)
        dated.append((clock.time, event))
    summary = stats.summary(window)
    return summary, [event for when, event in dated if when >= summary.start_time]


def approximately(ordered: list[float], quantile: float) -> Any:
    return pytest.approx(percentile(ordered, quantile), rel=0.05) if ordered else None


def check(row: UsageRow, events: list[Event]) -> None:
    successes = [event for event in events if not event.reason]
    latencies = sorted(event.latency for event in successes)
    costs = [event.cost for event in events if event.cost is not None]
    assert (row.requests, row.failures) == (len(events), len(events) - len(successes))
    assert row.fallbacks == sum(event.used_fallback for event in successes)
    assert row.failures_by_reason == Counter(event.reason for event in events if event.reason)
    assert row.input_tokens == sum(event.tokens for event in events)
    assert row.output_tokens == 2 * row.input_tokens
    assert row.latency_p50 == approximately(latencies, 0.5)
    assert row.latency_p95 == approximately(latencies, 0.95)
    assert row.time_to_first_token_p50 == approximately([one / 4 for one in latencies], 0.5)
    assert (row.cost.total_nanos if row.cost else None) == (sum(one.total_nanos for one in costs) if costs else None)


@STABLE
@given(HISTORIES, WINDOWS)
def test_totals_and_rows_equal_the_events_in_the_window(events: list[Event], window: int) -> None:
    summary, in_window = summarize(events, window)

    check(summary.total, in_window)
    for row in summary.rows:
        check(row, [event for event in in_window if event.target == (row.provider, row.model)])
    assert [(row.provider, row.model) for row in summary.rows] == sorted({event.target for event in in_window})


@STABLE
@given(HISTORIES, WINDOWS)
def test_window_starts_at_a_full_minute_after_server_start(events: list[Event], window: int) -> None:
    summary, _ = summarize(events, window)

    server_start = summary.end_time - summary.uptime
    assert (summary.start_time - server_start) % MINUTE_SECONDS == 0
    assert max(server_start, summary.end_time - window - MINUTE_SECONDS) <= summary.start_time
    assert summary.start_time <= max(server_start, summary.end_time - window)


def test_unknown_models_share_one_row() -> None:
    stats = usage_stats(known=("opus",))
    for model in ("made-up", "opus", "invented"):
        record_call(stats, "claude", model, "MODEL_NOT_FOUND")

    rows = stats.summary(60).rows

    assert [(row.model, row.requests) for row in rows] == [("opus", 1), ("other", 2)]


@pytest.mark.parametrize(
    ("provider", "model", "rows"),
    [
        ("claude", "", [("claude", "haiku"), ("claude", "opus")]),
        ("", "gpt", [("openai", "gpt")]),
        ("", "openai/gpt", [("openai", "gpt")]),
        ("claude", "gpt", []),
        ("", "never-used", []),
    ],
)
def test_filters_select_rows_and_the_total_covers_only_them(
    provider: str, model: str, rows: list[tuple[str, str]]
) -> None:
    stats = usage_stats()
    for target in MODELS:
        record_call(stats, *target)

    summary = stats.summary(60, provider, model)

    assert [(row.provider, row.model) for row in summary.rows] == rows
    assert summary.total.requests == len(rows)


def test_cost_in_another_currency_is_ignored() -> None:
    stats = usage_stats()
    stats.of("").record_usage("claude", "opus", Usage(1, 1), Cost(5, 6, "EUR"))
    cost_in_euros = stats.summary(60).total.cost

    stats.of("").record_usage("claude", "opus", Usage(1, 1), Cost(7, 8, estimated=False))

    assert cost_in_euros is None
    assert stats.summary(60).total.cost == Cost(7, 8, "USD", estimated=False)


def test_one_day_is_retained() -> None:
    clock = FakeClock()
    stats = usage_stats(clock)
    for _ in range(2 * 1440):
        record_call(stats, "claude", "opus")
        clock.advance(MINUTE_SECONDS)

    summary = stats.summary(10 * DAY_SECONDS)

    assert summary.total.requests == 1440
    assert summary.end_time - summary.start_time == DAY_SECONDS


def test_too_many_buckets_leave_only_the_hours_of_the_oldest_minutes() -> None:
    clock = FakeClock(0.0)
    stats = usage_stats(clock)
    per_minute, busy_minutes = MAX_BUCKETS // 10, 12
    for minute in range(3 * HOUR_MINUTES):
        for number in range(per_minute if minute >= 3 * HOUR_MINUTES - busy_minutes else 1):
            stats.of("").record_usage("claude", str(number), Usage(1, 0), None)
        clock.advance(MINUTE_SECONDS)

    last_minutes, an_hour_and_a_half = stats.summary(5 * MINUTE_SECONDS), stats.summary(90 * MINUTE_SECONDS)

    assert (last_minutes.start_time, last_minutes.total.input_tokens) == (175 * MINUTE_SECONDS, 5 * per_minute)
    assert an_hour_and_a_half.start_time == HOUR_MINUTES * MINUTE_SECONDS
    assert an_hour_and_a_half.total.input_tokens == 2 * HOUR_MINUTES - busy_minutes + busy_minutes * per_minute


@STABLE
@given(HISTORIES, WINDOWS, st.integers(1, 6))
def test_totals_equal_the_events_in_the_window_however_few_minutes_are_kept(
    events: list[Event], window: int, max_buckets: int
) -> None:
    clock, dated = FakeClock(), []
    usage = CallerUsage(clock, clock(), lambda provider, model: True, max_buckets)
    started = clock()
    for event in events:
        clock.advance(event.pause)
        usage.record_usage(*event.target, Usage(event.tokens, 0), None)
        dated.append((clock() - started, event.tokens))
    wanted = max(int((clock() - started - window) // MINUTE_SECONDS), 0)

    first = usage.first_minute(wanted)
    total = sum(
        bucket.row().input_tokens for buckets in usage.since(first) for bucket in buckets.values()
    )  # fmt: skip

    assert wanted - HOUR_MINUTES < first <= wanted
    assert total == sum(tokens for when, tokens in dated if when >= first * MINUTE_SECONDS)


def test_a_caller_sees_its_own_usage_only() -> None:
    clock = FakeClock()
    stats = UsageStats(clock, clock, lambda provider, model: True, max_callers=3)
    for caller, model in (("ann", "opus"), ("ann", "haiku"), ("bob", "opus"), ("", "opus")):
        record_call(stats, "claude", model, caller=caller)
    stats.of("ann").in_flight += 2

    rows = {
        caller: [(row.model, row.requests) for row in stats.summary(60, caller=caller).rows]
        for caller in ("ann", "bob", "", "eve", None)
    }

    assert rows == {
        "ann": [("haiku", 1), ("opus", 1)],
        "bob": [("opus", 1)],
        "": [("opus", 1)],
        "eve": [],
        None: [("haiku", 1), ("opus", 3)],
    }
    assert [stats.in_flight(caller) for caller in ("ann", "bob", None)] == [2, 0, 2]


def test_usage_of_callers_beyond_the_limit_is_part_of_all_totals_only() -> None:
    clock = FakeClock()
    stats = UsageStats(clock, clock, lambda provider, model: True, max_callers=2)
    for caller in ("ann", "bob", "eve", "eve"):
        record_call(stats, "claude", "opus", caller=caller)

    assert [stats.summary(60, caller=caller).total.requests for caller in ("ann", "bob", "eve")] == [1, 1, 0]
    assert stats.summary(60).total.requests == 4


def test_a_caller_that_was_idle_for_a_day_gives_way_to_another_one() -> None:
    clock = FakeClock()
    stats = UsageStats(clock, clock, lambda provider, model: True, max_callers=2)
    record_call(stats, "claude", "opus", caller="ann")
    stats.of("bob").in_flight += 1
    clock.advance(DAY_SECONDS + 2 * HOUR_MINUTES * MINUTE_SECONDS)

    record_call(stats, "claude", "opus", caller="eve")

    assert [stats.summary(60, caller=caller).total.requests for caller in ("ann", "eve")] == [0, 1]
    assert stats.in_flight("bob") == 1


def test_many_callers_keep_a_bounded_number_of_minutes_and_all_hours() -> None:
    clock = FakeClock(0.0)
    stats = UsageStats(clock, clock, lambda provider, model: True, max_callers=MAX_BUCKETS)
    for _ in range(MIN_BUCKETS_PER_CALLER + 3 * HOUR_MINUTES):
        record_call(stats, "claude", "opus", caller="ann")
        clock.advance(MINUTE_SECONDS)

    two_hours = stats.summary(MIN_BUCKETS_PER_CALLER * MINUTE_SECONDS, caller="ann")
    four_and_a_half_hours = stats.summary(4.5 * HOUR_MINUTES * MINUTE_SECONDS, caller="ann")

    assert (two_hours.total.requests, four_and_a_half_hours.total.requests) == (120, 300)
    assert four_and_a_half_hours.start_time == 0


@pytest.mark.parametrize("reason", ["", "STREAM_INTERRUPTED"])
def test_ended_attempt_adds_its_tokens_and_cost_whatever_its_outcome(reason: str) -> None:
    stats, record = usage_stats(), AttemptRecord("claude", "opus", 1000.0)
    stats.attempt_started(record)
    record.end(1001.0, reason, Usage(10, 5), Cost(7, 3))

    stats.attempt_ended(record)

    total = stats.summary(60).total
    assert (total.requests, total.input_tokens, total.output_tokens) == (0, 10, 5)
    assert total.cost == Cost(7, 3)


def test_attempt_without_usage_adds_nothing() -> None:
    stats, record = usage_stats(), AttemptRecord("claude", "opus", 1000.0)
    record.end(1001.0, "PROVIDER_ERROR")

    stats.attempt_ended(record)

    assert stats.summary(60).rows == ()
