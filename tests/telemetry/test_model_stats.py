"""Statistics of the last hour by model: what is reported, dropped and cached."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.core.attempts import AttemptEffect, AttemptRecord
from aimanager_server.core.usage import Usage
from aimanager_server.telemetry.model_stats import (
    MAX_MODELS,
    MAX_SAMPLES,
    RECOMPUTE_SECONDS,
    RETENTION_SECONDS,
    ModelStats,
)
from tests.support.clock import FakeClock

STABLE = settings(derandomize=True, database=None, deadline=None)


def record_successes(stats: ModelStats, count: int, latency: float = 1.0) -> None:
    for _ in range(count):
        stats.record_success("claude", "opus", latency, None, 0)


def test_snapshot_summarizes_attempts() -> None:
    stats = ModelStats(FakeClock())
    for number in range(1, 20):
        stats.record_success("claude", "opus", number + 1.0, number / 10, 50)
    stats.record_failure("claude", "opus")

    (snapshot,) = stats.snapshots()

    assert (snapshot.provider, snapshot.model, snapshot.samples, snapshot.succeeded) == ("claude", "opus", 20, 19)
    assert (snapshot.latency_p50, snapshot.latency_p95) == (11.0, 20.0)
    assert (snapshot.time_to_first_token_p50, snapshot.time_to_first_token_p95) == (1.0, 1.9)
    assert snapshot.tokens_per_second == 50 / (11.0 - 1.0)


def test_validations_are_counted_apart_from_attempts() -> None:
    stats = ModelStats(FakeClock())
    for passed in (True, True, False):
        stats.record_validation("claude", "opus", passed)

    (snapshot,) = stats.snapshots()

    assert (snapshot.validated, snapshot.passed, snapshot.samples) == (3, 2, 0)
    assert snapshot.latency_p50 is None


@pytest.mark.parametrize(
    ("latency", "time_to_first_token", "tokens", "tokens_per_second"),
    [
        (3.0, 1.0, 50, 25.0),
        (2.0, None, 50, 25.0),
        (2.0, 1.999, 50, 25.0),  # a single chunk: the total time is the best estimate
        (2.0, 1.0, 0, None),
        (0.0, None, 50, None),
    ],
)
def test_tokens_per_second_excludes_the_time_to_first_token(
    latency: float, time_to_first_token: float | None, tokens: int, tokens_per_second: float | None
) -> None:
    stats = ModelStats(FakeClock())

    stats.record_success("claude", "opus", latency, time_to_first_token, tokens)

    assert stats.snapshots()[0].tokens_per_second == tokens_per_second


def test_latency_requires_the_minimum_number_of_responses() -> None:
    stats = ModelStats(FakeClock())
    record_successes(stats, 19)
    stats.record_failure("claude", "opus")

    too_few = stats.latency("claude", "opus", 0.95, min_samples=20)
    enough = stats.latency("claude", "opus", 0.95, min_samples=19)

    assert (too_few, enough) == (None, 1.0)


def test_unused_model_has_no_statistics() -> None:
    stats = ModelStats(FakeClock())

    assert stats.latency("claude", "opus", 0.5, min_samples=0) is None
    assert stats.time_to_first_token("claude", "opus") is None
    assert stats.snapshots() == ()


def test_time_to_first_token_covers_streamed_responses_only() -> None:
    stats = ModelStats(FakeClock())
    stats.record_success("claude", "opus", 2.0, None, 10)
    before = stats.time_to_first_token("claude", "opus")

    stats.record_success("claude", "opus", 2.0, 0.25, 10)

    assert (before, stats.time_to_first_token("claude", "opus")) == (None, 0.25)


def test_quantile_is_recomputed_once_a_second() -> None:
    clock = FakeClock()
    stats = ModelStats(clock)
    record_successes(stats, 20)
    first = stats.latency("claude", "opus", 0.5)
    record_successes(stats, 40, latency=9.0)

    cached = stats.latency("claude", "opus", 0.5)
    clock.advance(RECOMPUTE_SECONDS)
    recomputed = stats.latency("claude", "opus", 0.5)

    assert (first, cached, recomputed) == (1.0, 1.0, 9.0)


def test_samples_expire_after_an_hour() -> None:
    clock = FakeClock()
    stats = ModelStats(clock)
    record_successes(stats, 20)
    stats.record_validation("claude", "opus", True)

    clock.advance(RETENTION_SECONDS + 1)

    assert stats.latency("claude", "opus", 0.5) is None
    assert stats.snapshots(window=2 * RETENTION_SECONDS) == ()


def test_shorter_window_excludes_older_samples() -> None:
    clock = FakeClock()
    stats = ModelStats(clock)
    record_successes(stats, 5)
    clock.advance(100)
    record_successes(stats, 3)

    assert [snapshot.samples for snapshot in stats.snapshots(window=60)] == [3]


def test_snapshots_are_sorted_by_provider_and_model() -> None:
    stats = ModelStats(FakeClock())
    for provider, model in (("openai", "a"), ("claude", "b"), ("claude", "a")):
        stats.record_failure(provider, model)

    names = [(snapshot.provider, snapshot.model) for snapshot in stats.snapshots()]

    assert names == [("claude", "a"), ("claude", "b"), ("openai", "a")]


@STABLE
@given(st.lists(st.booleans()))
def test_attempts_in_flight_are_those_started_and_not_ended(starts: list[bool]) -> None:
    stats, record = ModelStats(FakeClock()), AttemptRecord("claude", "opus", 1000.0)
    expected = 0
    for is_start in starts:
        (stats.attempt_started if is_start else stats.attempt_ended)(record)
        expected = max(expected + (1 if is_start else -1), 0)

    assert stats.in_flight("claude", "opus") == expected
    assert stats.in_flight("claude", "haiku") == 0


def test_oldest_samples_are_dropped_first() -> None:
    stats = ModelStats(FakeClock())
    record_successes(stats, MAX_SAMPLES, latency=5.0)
    record_successes(stats, MAX_SAMPLES, latency=1.0)

    (snapshot,) = stats.snapshots()

    assert (snapshot.samples, snapshot.latency_p95) == (MAX_SAMPLES, 1.0)


def test_least_recently_used_model_is_dropped_first() -> None:
    stats = ModelStats(FakeClock())
    for number in range(MAX_MODELS):
        stats.record_failure("claude", str(number))
    stats.record_failure("claude", "0")

    stats.record_failure("claude", "new")

    models = {snapshot.model for snapshot in stats.snapshots()}
    assert len(models) == MAX_MODELS
    assert {"0", "new"} <= models
    assert "1" not in models


def ended_record(effect: AttemptEffect, *, is_streamed: bool = True) -> AttemptRecord:
    """Return the record of an attempt sent at second 1000, with first content at 1001 and its end at 1003."""
    record = AttemptRecord("claude", "opus", 999.0, is_streamed=is_streamed)
    record.sent_at, record.first_content_at, record.effect = 1000.0, 1001.0, effect
    record.end(1003.0, usage=Usage(10, 50))
    return record


def test_complete_attempt_is_a_sample_with_its_times_and_tokens() -> None:
    stats = ModelStats(FakeClock())

    stats.attempt_ended(ended_record("success"))

    (snapshot,) = stats.snapshots()
    assert (snapshot.succeeded, snapshot.latency_p50, snapshot.time_to_first_token_p50) == (1, 3.0, 1.0)
    assert snapshot.tokens_per_second == 50 / (3.0 - 1.0)


def test_unary_attempt_has_no_time_to_first_token() -> None:
    stats = ModelStats(FakeClock())

    stats.attempt_ended(ended_record("success", is_streamed=False))

    assert stats.snapshots()[0].time_to_first_token_p50 is None
    assert stats.snapshots()[0].tokens_per_second == 50 / 3.0


@pytest.mark.parametrize(("effect", "samples"), [("failure", 1), ("credentials", 1), ("rate_limited", 1), ("none", 0)])
def test_failure_is_a_sample_only_if_the_provider_caused_it(effect: AttemptEffect, samples: int) -> None:
    stats = ModelStats(FakeClock())

    stats.attempt_ended(ended_record(effect))

    assert [(snapshot.samples, snapshot.succeeded) for snapshot in stats.snapshots()] == [(1, 0)] * samples
