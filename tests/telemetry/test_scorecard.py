"""Scores of providers beside one another, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.telemetry.model_stats import ModelFigures
from aimanager_server.telemetry.scorecard import Assessment, assess

STABLE = settings(derandomize=True, database=None, deadline=None)


def figures(provider: str, model: str = "m", samples: int = 100, **facts: Any) -> ModelFigures:
    known: dict[str, Any] = dict.fromkeys(
        ("latency_p50", "latency_p95", "first_token_p50", "first_token_p95", "tokens_per_second")
    )
    known.update(answered=samples, judged=0, met=0)
    return ModelFigures(provider, model, samples, **{**known, **facts})


def unpriced(provider: str, model: str) -> None:
    return None


def by_name(assessed: tuple[Assessment, ...]) -> dict[str, Assessment]:
    return {one.provider: one for one in assessed}


def test_scores_are_beside_the_best() -> None:
    rows = [
        figures("claude", answered=88, first_token_p50=0.62, tokens_per_second=40.0, judged=50, met=45),
        figures("openai", first_token_p50=0.2, tokens_per_second=80.0),
    ]
    prices = {"claude": 6.0, "openai": 3.0}

    claude = by_name(assess(["claude", "openai"], rows, lambda provider, model: prices[provider]))["claude"]

    assert claude.availability == 0.88
    assert claude.speed == pytest.approx((0.2 / 0.62 + 0.5) / 2)
    assert claude.economy == 0.5
    assert claude.conformance == 0.9
    assert claude.overall == pytest.approx((0.88 + (0.2 / 0.62 + 0.5) / 2 + 0.5 + 0.9) / 4)
    assert claude.findings == (
        "fails 12 % of its calls",
        "begins to answer 3.1 times slower than openai",
        "writes 2.0 times slower than openai",
        "costs 2.0 times as much as openai",
        "misses the schema in 10 % of its structured answers",
    )


def test_what_cannot_be_told_is_not_scored_and_does_not_count() -> None:
    (only,) = assess(["claude"], [figures("claude", answered=50)], unpriced)

    assert (only.speed, only.economy, only.conformance) == (None, None, None)
    assert only.overall == only.availability == 0.5


def test_the_best_come_first_and_those_without_samples_last_by_name() -> None:
    rows = [figures("bad", answered=10), figures("good"), figures("also-good")]

    assessed = assess(["idle", "bad", "asleep", "good", "also-good"], rows, unpriced)

    assert [one.provider for one in assessed] == ["also-good", "good", "bad", "asleep", "idle"]
    assert assessed[-1] == Assessment("idle", 0, None, None, None, None, None, ("was not asked in this window",), ())


def test_only_those_who_are_assessed_are_compared() -> None:
    rows = [figures("claude", first_token_p50=2.0), figures("openai", first_token_p50=0.1)]

    (claude,) = assess(["claude"], rows, unpriced)

    assert claude.speed == 1.0
    assert claude.findings == ()


def test_a_model_weighs_as_much_as_it_was_asked() -> None:
    rows = [
        figures("claude", "opus", samples=30, tokens_per_second=10.0, answered=30),
        figures("claude", "haiku", samples=90, tokens_per_second=50.0, answered=60),
        figures("openai", tokens_per_second=80.0),
    ]
    prices = {"opus": 8.0, "haiku": 4.0, "m": 2.5}

    claude = by_name(assess(["claude", "openai"], rows, lambda provider, model: prices[model]))["claude"]

    assert claude.samples == 120
    assert claude.availability == 90 / 120
    assert claude.speed == pytest.approx(40.0 / 80.0)
    assert claude.economy == pytest.approx(2.5 / 5.0)
    assert [one.model for one in claude.models] == ["opus", "haiku"]


def test_who_is_free_makes_nobody_else_dear() -> None:
    prices = {"local": 0.0, "claude": 4.0, "openai": 2.0}
    rows = [figures(name) for name in prices]

    economies = {one.provider: one.economy for one in assess(prices, rows, lambda provider, model: prices[provider])}

    assert economies == {"local": 1.0, "openai": 1.0, "claude": 0.5}


def test_few_attempts_are_said_to_be_few() -> None:
    assessed = by_name(assess(["a", "b"], [figures("a", samples=1), figures("b", samples=19)], unpriced))

    assert assessed["a"].findings == ("has only 1 attempt to tell by",)
    assert assessed["b"].findings == ("has only 19 attempts to tell by",)


TIMES = st.one_of(st.none(), st.floats(0, 1000))


@STABLE
@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.tuples(st.integers(0, 50), st.integers(0, 50), TIMES, TIMES, TIMES, st.integers(0, 9)),
    )
)
def test_scores_are_shares(known: dict[str, tuple[int, int, float | None, float | None, float | None, int]]) -> None:
    rows = [
        figures(name, "m", good + bad, answered=good, first_token_p50=first, tokens_per_second=pace, judged=9, met=met)
        for name, (good, bad, first, pace, _, met) in known.items()
    ]

    assessed = assess(known, rows, lambda provider, model: known[provider][4])

    for one in assessed:
        scores = [one.overall, one.availability, one.speed, one.economy, one.conformance]
        assert all(score is None or 0 <= score <= 1.000001 for score in scores)
