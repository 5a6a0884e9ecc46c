"""Scores of providers relative to each other, and their findings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.telemetry.model_stats import ModelSnapshot
from aimanager_server.telemetry.scorecard import Assessment, assess

STABLE = settings(derandomize=True, database=None, deadline=None)
NO_DATA = ModelSnapshot("", "", 0, 0, None, None, None, None, None, 0, 0)


def snapshot(provider: str, model: str = "m", samples: int = 100, **fields: Any) -> ModelSnapshot:
    return replace(NO_DATA, provider=provider, model=model, samples=samples, **{"succeeded": samples, **fields})


def no_price(provider: str, model: str) -> None:
    return None


def by_name(assessments: tuple[Assessment, ...]) -> dict[str, Assessment]:
    return {one.provider: one for one in assessments}


def test_scores_are_relative_to_the_best() -> None:
    snapshots = [
        snapshot("claude", succeeded=88, time_to_first_token_p50=0.62, tokens_per_second=40.0, validated=50, passed=45),
        snapshot("openai", time_to_first_token_p50=0.2, tokens_per_second=80.0),
    ]
    prices = {"claude": 6.0, "openai": 3.0}

    claude = by_name(assess(["claude", "openai"], snapshots, lambda provider, model: prices[provider]))["claude"]

    assert claude.availability == 0.88
    assert claude.speed == pytest.approx((0.2 / 0.62 + 0.5) / 2)
    assert claude.economy == 0.5
    assert claude.conformance == 0.9
    assert claude.overall == pytest.approx((0.88 + (0.2 / 0.62 + 0.5) / 2 + 0.5 + 0.9) / 4)
    assert claude.findings == (
        "12% of attempts failed",
        "time to first token is 3.1 times that of openai",
        "generates tokens 2.0 times slower than openai",
        "costs 2.0 times as much as openai",
        "10% of structured outputs did not match the schema on the first try",
    )


def test_missing_scores_do_not_count_in_the_overall_score() -> None:
    (only,) = assess(["claude"], [snapshot("claude", succeeded=50)], no_price)

    assert (only.speed, only.economy, only.conformance) == (None, None, None)
    assert only.overall == only.availability == 0.5


def test_best_come_first_and_those_without_samples_last() -> None:
    snapshots = [snapshot("bad", succeeded=10), snapshot("good"), snapshot("also-good")]

    assessments = assess(["idle", "bad", "asleep", "good", "also-good"], snapshots, no_price)

    assert [one.provider for one in assessments] == ["also-good", "good", "bad", "asleep", "idle"]
    assert assessments[-1] == Assessment("idle", 0, None, None, None, None, None, ("no attempts in this window",), ())


def test_providers_outside_the_assessment_are_not_compared() -> None:
    snapshots = [snapshot("claude", time_to_first_token_p50=2.0), snapshot("openai", time_to_first_token_p50=0.1)]

    (claude,) = assess(["claude"], snapshots, no_price)

    assert claude.speed == 1.0
    assert claude.findings == ()


def test_models_are_weighted_by_samples() -> None:
    snapshots = [
        snapshot("claude", "opus", samples=30, tokens_per_second=10.0, succeeded=30),
        snapshot("claude", "haiku", samples=90, tokens_per_second=50.0, succeeded=60),
        snapshot("openai", tokens_per_second=80.0),
    ]
    prices = {"opus": 8.0, "haiku": 4.0, "m": 2.5}

    claude = by_name(assess(["claude", "openai"], snapshots, lambda provider, model: prices[model]))["claude"]

    assert claude.samples == 120
    assert claude.availability == 90 / 120
    assert claude.speed == pytest.approx(40.0 / 80.0)
    assert claude.economy == pytest.approx(2.5 / 5.0)
    assert [one.model for one in claude.models] == ["opus", "haiku"]


def test_free_provider_is_not_the_price_benchmark() -> None:
    prices = {"local": 0.0, "claude": 4.0, "openai": 2.0}
    snapshots = [snapshot(name) for name in prices]

    assessments = assess(prices, snapshots, lambda provider, model: prices[provider])

    assert {one.provider: one.economy for one in assessments} == {"local": 1.0, "openai": 1.0, "claude": 0.5}


def test_few_samples_are_reported() -> None:
    assessments = by_name(assess(["a", "b"], [snapshot("a", samples=1), snapshot("b", samples=19)], no_price))

    assert assessments["a"].findings == ("only 1 attempt in this window",)
    assert assessments["b"].findings == ("only 19 attempts in this window",)


TIMES = st.one_of(st.none(), st.floats(0, 1000))


@STABLE
@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.tuples(st.integers(0, 50), st.integers(0, 50), TIMES, TIMES, TIMES, st.integers(0, 9)),
    )
)
def test_scores_are_between_zero_and_one(
    providers: dict[str, tuple[int, int, float | None, float | None, float | None, int]],
) -> None:
    snapshots = [
        snapshot(
            name, "m", good + bad, succeeded=good, time_to_first_token_p50=first, tokens_per_second=speed, validated=9,
            passed=passed,
        )
        for name, (good, bad, first, speed, _, passed) in providers.items()
    ]  # fmt: skip

    assessments = assess(providers, snapshots, lambda provider, model: providers[provider][4])

    for one in assessments:
        scores = [one.overall, one.availability, one.speed, one.economy, one.conformance]
        assert all(score is None or 0 <= score <= 1.000001 for score in scores)
