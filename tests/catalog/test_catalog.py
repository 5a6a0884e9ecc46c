"""The built-in catalog: consistency of its rows, and lookups."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date

import pytest

from aimanager_server.catalog.catalog import CATALOG_FILE, Catalog
from aimanager_server.catalog.loader import parse_catalog
from aimanager_server.catalog.model import Capability, Model, Support, SupportLevel
from aimanager_server.core.content import Effort
from tests.support.resolver import LAB_SETTINGS, provider_settings

CATALOG = Catalog.load()
MODELS = CATALOG.models()
RETIRED = parse_catalog(tomllib.loads(CATALOG_FILE.read_text("utf-8"))).retired


def find(provider: str, model_id: str) -> Model:
    model = CATALOG.find(provider, model_id)
    assert model is not None
    return model


def inconsistencies(model: Model) -> Iterator[str]:
    """Names of the rules that a row of the catalog breaks."""
    if not (model.source and model.name and model.is_known):
        yield "source, name and checked are set"
    if model.embedding is None:
        yield from inconsistent_generation_facts(model)
        yield from inconsistent_prices(model)
    else:
        yield from inconsistent_embedding_facts(model)
    yield from inconsistent_reasoning_facts(model)


def inconsistent_generation_facts(model: Model) -> Iterator[str]:
    window, output, accepted = model.context_window, model.max_output_tokens, model.sampling_fields
    if window is None or output is None or not 0 < output <= window:
        yield "max_output_tokens fits the context window"
    if accepted is None or not (model.sampling_fields_while_reasoning or frozenset()) <= accepted:
        yield "sampling_fields_while_reasoning is a subset of sampling_fields"
    if accepted is not None and "temperature" in accepted and model.max_temperature is None:
        yield "max_temperature is set"
    if model.retires and model.released and model.released >= model.retires:
        yield "a model retires after its release"


def inconsistent_prices(model: Model) -> Iterator[str]:
    if model.prices is None:
        return
    rates = model.prices.standard
    if not 0 < rates.cache_read <= rates.input <= rates.output or rates.cache_write < rates.input:
        yield "cache_read <= input <= output, and cache_write >= input"


def inconsistent_embedding_facts(model: Model) -> Iterator[str]:
    spec = model.embedding
    if spec is None or not spec.supports_dimensions(spec.dimensions) or model.context_window is None:
        yield "an embedding model supports its default dimensions and has a context window"
    if any(model.supports(capability) for capability in Capability):
        yield "an embedding model has no other capability"
    if model.prices is None or model.prices.standard.input <= 0 or model.prices.standard.output != 0:
        yield "an embedding model has a price for input only"


def inconsistent_reasoning_facts(model: Model) -> Iterator[str]:
    efforts = model.efforts
    if efforts is None:
        yield "efforts are set"
        return
    if not (model.thinking == "none") == (not efforts) == (model.supports(Capability.REASONING) is False):
        yield "thinking, efforts and the reasoning capability agree"
    if (Effort.NONE in efforts) != (model.thinking in ("adaptive", "budget")):
        yield "effort none exists exactly if reasoning can be disabled"
    if model.default_effort is not None and efforts and model.default_effort not in efforts:
        yield "the default effort is one of the efforts"
    if list(efforts) != sorted(efforts, key=lambda effort: effort.value):
        yield "efforts are in ascending order"


def test_all_rows_are_consistent() -> None:
    broken = {f"{model.provider}/{model.id}": list(inconsistencies(model)) for model in MODELS}

    assert {name: rules for name, rules in broken.items() if rules} == {}


def test_ids_are_unique_and_not_retired() -> None:
    ids = [(model.provider, model_id) for model in MODELS for model_id in (model.id, *model.alternate_ids)]
    retired = {(model.provider, model.id) for model in RETIRED}

    assert len(ids) == len(set(ids))
    assert not retired & set(ids)


@pytest.mark.parametrize("provider", ["claude", "openai", "deepseek", "gemini", "mock"])
def test_models_of_a_provider_are_ordered_newest_first(provider: str) -> None:
    days = [model.released for model in CATALOG.models(provider) if model.released is not None]

    assert days == sorted(days, reverse=True)


def test_all_models_are_ordered_by_provider() -> None:
    names = [model.provider for model in MODELS]

    assert names == sorted(names)
    assert set(names) == {"claude", "deepseek", "gemini", "groq", "mistral", "mock", "openai", "xai"}


def test_alternate_id_finds_its_model() -> None:
    assert find("claude", "claude-haiku-4-5-20251001").id == "claude-haiku-4-5"


def test_retirement_dates() -> None:
    assert find("claude", "claude-sonnet-4-5").retires == date(2026, 11, 30)
    assert find("openai", "gpt-4o").retires == date(2027, 1, 14)


def test_capable_models_start_with_the_given_provider() -> None:
    capable = CATALOG.capable_models([Capability.DOCUMENT_INPUT], provider="openai")

    assert capable[0].provider == "openai"
    assert {model.provider for model in capable} == {"claude", "gemini", "openai", "mock"}


def test_capable_models_match_the_predicate() -> None:
    assert [model.id for model in CATALOG.capable_models(matches=lambda model: model.id == "o3")] == ["o3"]


def test_configured_models_are_added_without_facts() -> None:
    catalog = CATALOG.with_providers(
        {
            "lab": provider_settings("lab", **LAB_SETTINGS, models=["llama", "llama"]),
            "openai": provider_settings("openai", wire="chat_completions", models=["gpt-9", "gpt-4.1"]),
        }
    )

    assert [model.id for model in catalog.models("lab")] == ["llama"]
    assert not catalog.models("lab")[0].is_known
    assert catalog.models("lab")[0].supports(Capability.IMAGE_INPUT) is None
    assert catalog.find("openai", "gpt-9") == Model("openai", "gpt-9")
    assert catalog.find("openai", "gpt-4.1") == CATALOG.find("openai", "gpt-4.1")
    assert catalog.alias("openai", "latest") == CATALOG.alias("openai", "latest")


def test_provider_that_allows_any_model_has_every_id() -> None:
    lab = provider_settings("lab", **LAB_SETTINGS, allow_any_model=True)
    other = provider_settings("other", **LAB_SETTINGS)

    catalog = CATALOG.with_providers({"lab": lab}).with_providers({"other": other})

    assert catalog.find("lab", "meta/llama") == Model("lab", "meta/llama")
    assert catalog.find("lab", "") is None
    assert catalog.find("claude", "meta/llama") is None


def test_configured_wire_applies_its_own_facts() -> None:
    on_chat_completions = provider_settings("openai", wire="chat_completions")

    model = CATALOG.with_providers({"openai": on_chat_completions}).find("openai", "gpt-5.6-sol")

    default = find("openai", "gpt-5.6-sol")
    assert model is not None
    assert (default.wire, default.tools_while_reasoning) == ("responses", True)
    assert default.url_attachments == {"image", "document"}
    assert (model.wire, model.tools_while_reasoning, model.url_attachments) == ("", False, {"image"})
    assert model.sampling_fields == {"max_output_tokens", "temperature", "top_p", "seed"}
    assert model.prices == default.prices


def test_configured_wire_does_not_change_models_of_another_wire() -> None:
    configured = {
        "openai": provider_settings("openai", wire="chat_completions"),
        "claude": provider_settings("claude"),
    }

    catalog = CATALOG.with_providers(configured)

    for provider, model_id in (("openai", "gpt-5.5-pro"), ("openai", "gpt-4.1"), ("claude", "claude-opus-5-5")):
        assert catalog.find(provider, model_id) == CATALOG.find(provider, model_id)


def test_providers_of_an_id() -> None:
    catalog = CATALOG.with_providers({"lab": provider_settings("lab", **LAB_SETTINGS, models=["o3"])})

    assert catalog.providers_of("o3") == ("openai", "lab")


def test_emulated_capability_has_a_note() -> None:
    support = find("deepseek", "deepseek-flash").capabilities[Capability.STRUCTURED_OUTPUT]

    assert support.level is SupportLevel.EMULATED
    assert "JSON mode" in support.note


def test_emulated_capability_counts_as_supported() -> None:
    model = Model("lab", "llama", capabilities={Capability.STRUCTURED_OUTPUT: Support(SupportLevel.EMULATED)})

    assert model.supports(Capability.STRUCTURED_OUTPUT)


def test_reasoning_by_effort() -> None:
    flash = find("deepseek", "deepseek-flash")

    assert flash.reasons_at(None)
    assert not flash.reasons_at(Effort.NONE)
    assert not find("claude", "claude-opus-4-8").reasons_at(None)
    assert not find("openai", "gpt-4o").reasons_at(Effort.HIGH)
    assert not Model("lab", "llama").reasons_at(Effort.HIGH)


def test_listed_models_are_kept_by_the_catalog_of_other_settings() -> None:
    previous, successor = (CATALOG.with_providers({}) for _ in range(2))
    for provider in ("claude", "openai"):
        previous.update_listed(provider, [Model(provider, "listed-only")])

    successor.adopt_listed(previous, ["claude", "gemini"])

    assert successor.find("claude", "listed-only") is not None
    assert successor.find("openai", "listed-only") is None
