"""How models are ranked for a need: what decides, what only ranks, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.catalog.model import Capability, EmbeddingFacts, Level, Model, Prices, Rates, Support
from aimanager_server.catalog.recommendations import Objective, Wish, suggest

TODAY = date(2026, 11, 22)
VISION, TOOLS, SCHEMA = Capability.IMAGE_INPUT, Capability.TOOL_CALLING, Capability.STRUCTURED_OUTPUT
CATALOGUE = Catalogue.load().models()


def model(model_id: str, *native: Capability, cost: int | None = 1_000, **facts: Any) -> Model:
    support = {capability: Support(Level.NATIVE) for capability in native} | facts.pop("support", {})
    prices = None if cost is None else Prices(Rates(cost, cost, cost, cost))
    facts.setdefault("provider", "up")
    return Model(id=model_id, capabilities=support, prices=prices, **facts)


def ranked(*models: Model, unavailable: Iterable[str] = (), **wish: Any) -> list[str]:
    found = suggest(models, Wish(**wish), lambda one: one.id not in unavailable, TODAY)
    return [suggestion.model.id for suggestion in found]


def test_what_is_required_decides_and_what_is_not_known_does_not_count() -> None:
    lacking = model("lacking", TOOLS, support={VISION: Support(Level.NONE)})
    emulating = model("emulating", support={VISION: Support(Level.EMULATED)})

    assert ranked(model("able", VISION), lacking, model("unknown"), emulating, required=frozenset({VISION})) == [
        "able",
        "emulating",
    ]


@pytest.mark.parametrize(("window", "found"), [(0, ["small", "large", "unknown"]), (200, ["large"])])
def test_a_window_is_a_hard_filter(window: int, found: list[str]) -> None:
    models = (model("small", context_window=100), model("large", context_window=200), model("unknown"))

    assert sorted(ranked(*models, window=window)) == sorted(found)


def test_only_the_providers_named_come_into_question_and_the_mock_only_where_it_is() -> None:
    models = (model("a"), model("b", provider="other"), model("c", provider="mock"))

    assert sorted(ranked(*models)) == ["a", "b"]
    assert ranked(*models, providers=frozenset({"mock"})) == ["c"]


def test_models_that_make_vectors_or_are_gone_do_not_come_into_question() -> None:
    vectors = model("vectors", embedding=EmbeddingFacts(1, 1))

    assert ranked(vectors, model("gone", retires=TODAY), model("there", retires=TODAY + timedelta(1))) == ["there"]


def test_what_is_preferred_ranks() -> None:
    emulating = model("emulating", support={SCHEMA: Support(Level.EMULATED)})

    assert ranked(model("without"), emulating, model("with", SCHEMA), preferred=frozenset({SCHEMA})) == [
        "with",
        "emulating",
        "without",
    ]


@pytest.mark.parametrize(
    ("objective", "best"),
    [(Objective.QUALITY, "flagship"), (Objective.SPEED, "swift"), (Objective.COST, "cheap")],
)
def test_the_objective_ranks(objective: Objective, best: str) -> None:
    models = (
        model("flagship", cost=9_000_000, aliases=("latest",), thinking="always"),
        model("swift", cost=3_000_000, aliases=("fast",)),
        model("cheap", cost=1_000),
    )

    assert ranked(*models, objective=objective)[0] == best


def test_one_that_cannot_be_called_now_comes_later() -> None:
    assert ranked(model("down"), model("up"), unavailable=["down"]) == ["up", "down"]


def test_one_that_retires_soon_comes_later_and_says_so() -> None:
    soon = model("soon", retires=TODAY + timedelta(30))

    found = suggest([soon, model("stays")], Wish(), lambda one: True, TODAY)

    assert [one.model.id for one in found] == ["stays", "soon"]
    assert "retires on 2026-12-22" in found[1].reasons


def test_a_larger_window_and_a_known_price_rank() -> None:
    assert ranked(model("small", context_window=1_000), model("large", context_window=1_000_000)) == ["large", "small"]
    assert ranked(model("dark", cost=None), model("priced")) == ["priced", "dark"]


def test_equals_stay_in_their_order() -> None:
    assert ranked(*(model(f"m{number}") for number in range(5))) == [f"m{number}" for number in range(5)]


def test_the_reasons_say_what_weighed() -> None:
    models = [
        model("a", VISION, context_window=1_000, aliases=("fast",)),
        model("b", VISION, cost=9_000, thinking="always"),
    ]
    wish = Wish(frozenset({VISION}), frozenset({TOOLS}), Objective.COST)

    first, second = suggest(models, wish, lambda one: one.id == "a", TODAY)

    assert first.reasons == (
        "costs $0.000001 in and $0.000001 out per million tokens, the least of those that can",
        "has image_input; not known to have tool_calling",
        "can be called now",
        "reads 1,000 tokens",
        "is up's 'fast' model",
    )
    assert "cannot be called now: up has no key here, or is failing" in second.reasons
    assert "always thinks before it answers" in second.reasons
    assert "its context window is not known" in second.reasons
    assert suggest([model("c", cost=None)], Wish(), lambda one: True, TODAY)[0].reasons[0:2] == (
        "can be called now",
        "its price is not known",
    )


def test_scores_lie_between_0_and_1_and_come_out_the_same_each_time() -> None:
    wish = Wish(preferred=frozenset({VISION}))

    found = suggest(CATALOGUE, wish, lambda one: True, TODAY)

    assert found == suggest(CATALOGUE, wish, lambda one: True, TODAY)
    assert all(0.0 <= one.score <= 1.0 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(found) > 20


@pytest.mark.parametrize("alias", Catalogue.load().aliases(), ids=lambda alias: f"{alias.provider}/{alias.name}")
def test_every_alias_has_a_complete_row(alias: Any) -> None:
    found = Catalogue.load().find(alias.provider, alias.model)

    assert found is not None
    assert found.is_known
    assert found.name
    assert found.source
    assert found.context_window is not None
    assert found.max_output is not None
    assert found.prices is not None
    assert found.sampling is not None
    assert found.thinking != "unknown"
    assert found.efforts is not None
    assert found.capabilities.keys() == set(Capability)
    assert found.retires is None or found.retires > alias.since + timedelta(30)
