"""Sums of minutes, held against the events that they are the sums of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.core.usage import Cost, Usage
from aimanager_server.telemetry import usage_stats as module
from aimanager_server.telemetry.model_stats import percentile
from aimanager_server.telemetry.usage_row import Row
from aimanager_server.telemetry.usage_stats import DAY_SECONDS, MINUTE_SECONDS, Summary, Sums
from tests.support.calls import FakeClock

STABLE = settings(derandomize=True, database=None, deadline=None, max_examples=200)
MODELS = [("claude", "opus"), ("claude", "haiku"), ("openai", "gpt")]


@dataclass(frozen=True)
class Event:
    """A call that ended, so many seconds after the one before, and what it took."""

    pause: int
    target: tuple[str, str]
    reason: str
    fell_back: bool
    latency: float
    tokens: int
    cost: Cost | None


EVENTS = st.builds(
    Event,
    pause=st.one_of(st.integers(0, 90), st.integers(0, 30_000)),
    target=st.sampled_from(MODELS),
    reason=st.sampled_from(["", "", "PROVIDER_ERROR", "CANCELLED"]),
    fell_back=st.booleans(),
    latency=st.floats(0.001, 1000),
    tokens=st.integers(0, 10**9),
    cost=st.one_of(st.none(), st.builds(Cost, st.integers(0, 10**15), st.integers(0, 10**15))),
)
HISTORIES = st.lists(EVENTS, max_size=40)
WINDOWS = st.one_of(st.integers(1, 7200), st.integers(1, int(DAY_SECONDS)))


def all_known(provider: str, model: str) -> bool:
    return True


def tell(sums: Sums, event: Event) -> None:
    fallen, latency = event.fell_back, event.latency
    sums.ended(*event.target, event.reason, fell_back=fallen, latency=latency, first_token=latency / 4)
    sums.spent(*event.target, Usage(event.tokens, 2 * event.tokens), event.cost)


def told(events: list[Event], window: float) -> tuple[Summary, list[Event]]:
    """The summary of a history, and the events that its window holds."""
    clock = FakeClock()
    sums, dated = Sums(clock, clock, all_known), []
    for event in events:
        clock.advance(event.pause)
        tell(sums, event)
        dated.append((clock.time, event))
    summary = sums.summary(window)
    return summary, [event for when, event in dated if when >= summary.began_at]


def nearly(ordered: list[float], share: float) -> Any:
    return pytest.approx(percentile(ordered, share), rel=0.05) if ordered else None


def check(row: Row, events: list[Event]) -> None:
    answered = [event for event in events if not event.reason]
    latencies = sorted(event.latency for event in answered)
    priced = [event.cost for event in events if event.cost is not None]
    assert (row.requests, row.failures) == (len(events), len(events) - len(answered))
    assert row.fallbacks == sum(event.fell_back for event in answered)
    assert row.failures_by_reason == Counter(event.reason for event in events if event.reason)
    assert row.input_tokens == sum(event.tokens for event in events)
    assert row.output_tokens == 2 * row.input_tokens
    assert row.latency_p50 == nearly(latencies, 0.5)
    assert row.latency_p95 == nearly(latencies, 0.95)
    assert row.first_token_p50 == nearly([one / 4 for one in latencies], 0.5)
    assert (row.cost.total_nanos if row.cost else None) == (sum(one.total_nanos for one in priced) if priced else None)


@STABLE
@given(HISTORIES, WINDOWS)
def test_the_sums_are_those_of_the_events_in_the_window(events: list[Event], window: int) -> None:
    summary, held = told(events, window)

    check(summary.total, held)
    for row in summary.rows:
        check(row, [event for event in held if event.target == (row.provider, row.model)])
    assert [(row.provider, row.model) for row in summary.rows] == sorted({event.target for event in held})


@STABLE
@given(HISTORIES, WINDOWS)
def test_the_window_begins_with_a_minute_and_never_before_the_server(events: list[Event], window: int) -> None:
    summary, _ = told(events, window)

    began = summary.ended_at - summary.uptime
    assert (summary.began_at - began) % MINUTE_SECONDS == 0
    assert max(began, summary.ended_at - window - MINUTE_SECONDS) <= summary.began_at
    assert summary.began_at <= max(began, summary.ended_at - window)


def test_a_name_that_nobody_knows_makes_no_row_of_its_own() -> None:
    sums = Sums(FakeClock(), FakeClock(), lambda provider, model: model == "opus")
    for model in ("made-up", "opus", "invented"):
        sums.ended("claude", model, "MODEL_NOT_FOUND", fell_back=False, latency=None, first_token=None)

    rows = sums.summary(60).rows

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
def test_filters_leave_the_rows_they_name_and_the_total_of_those(
    provider: str, model: str, rows: list[tuple[str, str]]
) -> None:
    sums = Sums(FakeClock(), FakeClock(), all_known)
    for target in MODELS:
        sums.ended(*target, "", fell_back=False, latency=1.0, first_token=None)

    summary = sums.summary(60, provider, model)

    assert [(row.provider, row.model) for row in summary.rows] == rows
    assert summary.total.requests == len(rows)


def test_money_in_another_currency_is_left_out() -> None:
    sums = Sums(FakeClock(), FakeClock(), all_known)
    sums.spent("claude", "opus", Usage(1, 1), Cost(5, 6, "EUR"))
    unpriced = sums.summary(60).total.cost
    sums.spent("claude", "opus", Usage(1, 1), Cost(7, 8, estimated=False))

    assert unpriced is None
    assert sums.summary(60).total.cost == Cost(7, 8, "USD", estimated=False)


def test_the_sums_of_a_day_are_kept_and_no_more() -> None:
    clock = FakeClock()
    sums = Sums(clock, clock, all_known)
    for _ in range(3 * 1440):
        sums.ended("claude", "opus", "", fell_back=False, latency=1.0, first_token=None)
        clock.advance(MINUTE_SECONDS)

    summary = sums.summary(10 * DAY_SECONDS)

    assert summary.total.requests == 1440
    assert summary.ended_at - summary.began_at == DAY_SECONDS


def test_where_too_many_models_are_busy_the_oldest_minutes_go_and_the_window_says_so() -> None:
    clock = FakeClock()
    sums = Sums(clock, clock, all_known)
    per_minute = module.MOST_TALLIES // 10
    for _ in range(12):
        for number in range(per_minute):
            sums.spent("claude", str(number), Usage(1, 0), None)
        clock.advance(MINUTE_SECONDS)

    summary = sums.summary(DAY_SECONDS)

    assert summary.total.input_tokens == module.MOST_TALLIES
    assert summary.ended_at - summary.began_at == 10 * MINUTE_SECONDS
