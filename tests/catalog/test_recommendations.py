"""Ranking models for a query: filters, scores and reasons."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, EmbeddingSpec, Model, Prices, Rates, Support, SupportLevel
from aimanager_server.catalog.recommendations import ModelQuery, Objective, suggest_models

TODAY = date(2026, 11, 22)
MONTH = timedelta(30)
VISION, TOOLS, SCHEMA = Capability.IMAGE_INPUT, Capability.TOOL_CALLING, Capability.STRUCTURED_OUTPUT
MODELS = Catalog.load().models()


def model(model_id: str, *native: Capability, cost: int | None = 1_000, **facts: Any) -> Model:
    support = {capability: Support(SupportLevel.NATIVE) for capability in native} | facts.pop("support", {})
    prices = None if cost is None else Prices(Rates(cost, cost, cost, cost, cost))
    facts.setdefault("provider", "up")
    return Model(id=model_id, capabilities=support, prices=prices, **facts)


def ranked(*models: Model, unavailable: Iterable[str] = (), **query: Any) -> list[str]:
    found = suggest_models(models, ModelQuery(**query), lambda one: one.id not in unavailable, TODAY)
    return [suggestion.model.id for suggestion in found]


def test_only_known_capabilities_satisfy_required() -> None:
    lacking = model("lacking", TOOLS, support={VISION: Support(SupportLevel.NONE)})
    emulating = model("emulating", support={VISION: Support(SupportLevel.EMULATED)})

    assert ranked(model("capable", VISION), lacking, model("unknown"), emulating, required=frozenset({VISION})) == [
        "capable",
        "emulating",
    ]


@pytest.mark.parametrize(("window", "found"), [(0, ["small", "large", "unknown"]), (200, ["large"])])
def test_min_context_window_filters(window: int, found: list[str]) -> None:
    models = (model("small", context_window=100), model("large", context_window=200), model("unknown"))

    assert sorted(ranked(*models, min_context_window=window)) == sorted(found)


def test_providers_filter_and_mock_must_be_named() -> None:
    models = (model("a"), model("b", provider="other"), model("c", provider="mock"))

    assert sorted(ranked(*models)) == ["a", "b"]
    assert ranked(*models, providers=frozenset({"mock"})) == ["c"]


def test_embedding_and_retired_models_are_excluded() -> None:
    vectors = model("vectors", embedding=EmbeddingSpec(1, 1))

    assert ranked(vectors, model("gone", retires=TODAY), model("there", retires=TODAY + timedelta(1))) == ["there"]


def test_preferred_capabilities_rank_higher() -> None:
    emulating = model("emulating", support={SCHEMA: Support(SupportLevel.EMULATED)})

    assert ranked(model("without"), emulating, model("with", SCHEMA), preferred=frozenset({SCHEMA})) == [
        "with",
        "emulating",
        "without",
    ]


@pytest.mark.parametrize(
    ("objective", "best"),
    [(Objective.QUALITY, "flagship"), (Objective.SPEED, "swift"), (Objective.COST, "cheap")],
)
def test_objective_decides_the_best_model(objective: Objective, best: str) -> None:
    models = (
        model("flagship", cost=9_000_000, aliases=("latest",), thinking="always"),
        model("swift", cost=3_000_000, aliases=("fast",)),
        model("cheap", cost=1_000),
    )

    assert ranked(*models, objective=objective)[0] == best


def test_without_an_objective_the_middle_between_quality_speed_and_cost_is_best() -> None:
    models = (
        model("flagship", cost=9_000_000, aliases=("latest", "reasoning")),
        model("allround", cost=3_000_000, aliases=("current",)),
        model("swift", cost=300_000, aliases=("fast",)),
        model("cheap", cost=1_000),
    )

    assert ranked(*models)[0] == "allround"
    assert ranked(*models[2:], models[0])[0] != "cheap"


def test_without_an_objective_no_vendor_is_represented_by_its_cheapest_model() -> None:
    providers = {one.provider for one in MODELS if "current" in one.aliases} - {"mock"}

    best = {name: ranked(*MODELS, providers=frozenset({name}))[0] for name in providers}

    found = {name: one.aliases for one in MODELS for name in providers if (one.provider, one.id) == (name, best[name])}
    assert {name for name, aliases in found.items() if "current" not in aliases} == set()
    assert len(providers) >= 5


def test_unavailable_model_ranks_lower() -> None:
    assert ranked(model("down"), model("up"), unavailable=["down"]) == ["up", "down"]


def test_model_that_retires_soon_ranks_lower_with_a_reason() -> None:
    soon = model("soon", retires=TODAY + timedelta(30))

    found = suggest_models([soon, model("stays")], ModelQuery(), lambda one: True, TODAY)

    assert [one.model.id for one in found] == ["stays", "soon"]
    assert "retires on 2026-12-22" in found[1].reasons


def test_larger_context_window_and_known_price_rank_higher() -> None:
    assert ranked(model("small", context_window=1_000), model("large", context_window=1_000_000)) == ["large", "small"]
    assert ranked(model("dark", cost=None), model("priced")) == ["priced", "dark"]


def test_equal_scores_keep_their_order() -> None:
    assert ranked(*(model(f"m{number}") for number in range(5))) == [f"m{number}" for number in range(5)]


def test_reasons_are_ordered_by_weight() -> None:
    models = [
        model("a", VISION, context_window=1_000, aliases=("fast",)),
        model("b", VISION, cost=9_000, thinking="always"),
    ]
    query = ModelQuery(frozenset({VISION}), frozenset({TOOLS}), Objective.COST)

    first, second = suggest_models(models, query, lambda one: one.id == "a", TODAY)

    assert first.reasons == (
        "costs $0.000001 input and $0.000001 output per million tokens, the lowest price of the matching models",
        "supports image_input; no known support for tool_calling",
        "available now",
        "context window of 1,000 tokens",
        "up's 'fast' model",
    )
    assert "unavailable now: up has no API key or is failing" in second.reasons
    assert "always reasons before it answers" in second.reasons
    assert "context window unknown" in second.reasons
    unpriced = suggest_models([model("c", cost=None)], ModelQuery(), lambda one: True, TODAY)[0]
    assert unpriced.reasons == ("available now", "context window unknown", "price unknown")


def test_scores_are_between_0_and_1_and_deterministic() -> None:
    query = ModelQuery(preferred=frozenset({VISION}))

    found = suggest_models(MODELS, query, lambda one: True, TODAY)

    assert found == suggest_models(MODELS, query, lambda one: True, TODAY)
    assert all(0.0 <= one.score <= 1.0 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(found) > 20


UNPUBLISHED = {Capability.PARALLEL_TOOL_CALLING, Capability.PROMPT_CACHING}
"""Capabilities that Groq and Mistral do not state for every model; unknown, they reject nothing."""


def incomplete_facts(model: Model) -> list[str]:
    facts: dict[str, object] = {
        "is_known": model.is_known or None,
        "name": model.name or None,
        "source": model.source or None,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "prices": model.prices,
        "sampling_fields": model.sampling_fields,
        "thinking": None if model.thinking == "unknown" else model.thinking,
        "efforts": model.efforts,
        "capabilities": True if model.capabilities.keys() >= set(Capability) - UNPUBLISHED else None,
    }
    return [name for name, fact in facts.items() if fact is None]


def test_every_alias_has_a_model_with_complete_facts_that_does_not_retire_soon() -> None:
    catalog = Catalog.load()
    models = [(alias, catalog.find(alias.provider, alias.model)) for alias in catalog.aliases()]

    incomplete = {
        f"{alias.provider}/{alias.name}": incomplete_facts(model) if model is not None else ["model"]
        for alias, model in models
    }
    retiring = [model for alias, model in models if model and model.retires and model.retires <= alias.since + MONTH]

    assert {name: facts for name, facts in incomplete.items() if facts} == {}
    assert retiring == []
