"""Figures of the last hour by model: what is told, what is forgotten, and what a question costs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.telemetry.model_stats import HOUR_SECONDS, MOST_MODELS, MOST_SAMPLES, RECKON_SECONDS, Quality
from tests.support.calls import FakeClock

STABLE = settings(derandomize=True, database=None, deadline=None)


def answers(quality: Quality, count: int, latency: float = 1.0) -> None:
    for _ in range(count):
        quality.answered("claude", "opus", latency, None, 0)


def test_attempts_make_figures() -> None:
    quality = Quality(FakeClock())
    for number in range(1, 20):
        quality.answered("claude", "opus", number + 1.0, number / 10, 50)
    quality.failed("claude", "opus")

    (row,) = quality.rows()

    assert (row.provider, row.model, row.samples, row.answered) == ("claude", "opus", 20, 19)
    assert (row.latency_p50, row.latency_p95) == (11.0, 20.0)
    assert (row.first_token_p50, row.first_token_p95) == (1.0, 1.9)
    assert row.tokens_per_second == 50 / (11.0 - 1.0)


def test_schemas_that_were_met_at_once_are_counted_apart_from_attempts() -> None:
    quality = Quality(FakeClock())
    for met in (True, True, False):
        quality.conformed("claude", "opus", met)

    (row,) = quality.rows()

    assert (row.judged, row.met, row.samples) == (3, 2, 0)
    assert row.latency_p50 is None


@pytest.mark.parametrize(
    ("latency", "first_token", "tokens", "pace"),
    [
        (3.0, 1.0, 50, 25.0),
        (2.0, None, 50, 25.0),
        (2.0, 1.999, 50, 25.0),  # in one piece: the whole time is the best that is known
        (2.0, 1.0, 0, None),
        (0.0, None, 50, None),
    ],
)
def test_the_pace_is_of_the_time_that_was_spent_writing(
    latency: float, first_token: float | None, tokens: int, pace: float | None
) -> None:
    quality = Quality(FakeClock())

    quality.answered("claude", "opus", latency, first_token, tokens)

    assert quality.rows()[0].tokens_per_second == pace


def test_a_latency_is_told_from_twenty_answers_on() -> None:
    quality = Quality(FakeClock())
    answers(quality, 19)
    quality.failed("claude", "opus")
    before = quality.latency("claude", "opus", 0.95, least_samples=20)
    enough = quality.latency("claude", "opus", 0.95, least_samples=19)

    assert (before, enough) == (None, 1.0)


def test_of_a_model_never_asked_nothing_is_told() -> None:
    quality = Quality(FakeClock())

    assert quality.latency("claude", "opus", 0.5, least_samples=0) is None
    assert quality.first_token("claude", "opus") is None
    assert quality.rows() == ()


def test_the_first_token_is_told_by_streamed_answers_alone() -> None:
    quality = Quality(FakeClock())
    quality.answered("claude", "opus", 2.0, None, 10)
    before = quality.first_token("claude", "haiku")
    quality.answered("claude", "opus", 2.0, 0.25, 10)

    assert (before, quality.first_token("claude", "opus")) == (None, 0.25)


def test_a_percentile_is_reckoned_once_a_second() -> None:
    clock = FakeClock()
    quality = Quality(clock)
    answers(quality, 20)
    first = quality.latency("claude", "opus", 0.5)
    answers(quality, 40, latency=9.0)
    at_once = quality.latency("claude", "opus", 0.5)
    clock.advance(RECKON_SECONDS)

    assert (first, at_once, quality.latency("claude", "opus", 0.5)) == (1.0, 1.0, 9.0)


def test_attempts_of_more_than_an_hour_ago_are_forgotten() -> None:
    clock = FakeClock()
    quality = Quality(clock)
    answers(quality, 20)
    quality.conformed("claude", "opus", True)

    clock.advance(HOUR_SECONDS + 1)

    assert quality.latency("claude", "opus", 0.5) is None
    assert quality.rows(window=2 * HOUR_SECONDS) == ()


def test_a_shorter_window_leaves_out_what_was_before() -> None:
    clock = FakeClock()
    quality = Quality(clock)
    answers(quality, 5)
    clock.advance(100)
    answers(quality, 3)

    assert [row.samples for row in quality.rows(window=60)] == [3]


def test_rows_are_by_provider_and_model() -> None:
    quality = Quality(FakeClock())
    for provider, model in (("openai", "a"), ("claude", "b"), ("claude", "a")):
        quality.failed(provider, model)

    assert [(row.provider, row.model) for row in quality.rows()] == [("claude", "a"), ("claude", "b"), ("openai", "a")]


@STABLE
@given(st.lists(st.sampled_from(["began", "ended"])))
def test_attempts_under_way_are_those_begun_and_not_ended(events: list[str]) -> None:
    quality = Quality(FakeClock())
    expected = 0
    for event in events:
        getattr(quality, event)("claude", "opus")
        expected = max(expected + (1 if event == "began" else -1), 0)

    assert quality.in_flight("claude", "opus") == expected
    assert quality.in_flight("claude", "haiku") == 0


def test_only_the_newest_samples_of_a_model_are_kept() -> None:
    quality = Quality(FakeClock())
    answers(quality, MOST_SAMPLES, latency=5.0)
    answers(quality, MOST_SAMPLES, latency=1.0)

    (row,) = quality.rows()

    assert (row.samples, row.latency_p95) == (MOST_SAMPLES, 1.0)


def test_of_too_many_models_the_one_longest_unused_is_forgotten() -> None:
    quality = Quality(FakeClock())
    for number in range(MOST_MODELS):
        quality.failed("claude", str(number))
    quality.failed("claude", "0")

    quality.failed("claude", "new")

    known = {row.model for row in quality.rows()}
    assert len(known) == MOST_MODELS
    assert {"0", "new"} <= known
    assert "1" not in known
