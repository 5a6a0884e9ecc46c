"""The table of models that comes with the server, and how it is searched."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date

import pytest

from aimanager_server.catalog.catalog import FILE, Capability, Catalogue, Level, Model, Support
from aimanager_server.catalog.loader import rows_of
from aimanager_server.core.content import Effort

CATALOGUE = Catalogue.load()
MODELS = CATALOGUE.models()
RETIRED = rows_of(tomllib.loads(FILE.read_text("utf-8"))).retired
NAMES = [f"{model.provider}/{model.id}" for model in MODELS]
ANSWERING = [model for model in MODELS if model.embedding is None]
EMBEDDING = [model for model in MODELS if model.embedding is not None]


@dataclass(frozen=True)
class Offer:
    models: tuple[str, ...] = ()
    allow_any_model: bool = False
    wire: str = "chat_completions"


def find(provider: str, model_id: str) -> Model:
    found = CATALOGUE.find(provider, model_id)
    assert found is not None
    return found


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_every_row_says_where_and_when_it_was_read(model: Model) -> None:
    assert model.source
    assert model.checked is not None
    assert model.name
    assert model.is_known


@pytest.mark.parametrize("model", ANSWERING, ids=lambda model: model.id)
def test_every_row_makes_sense(model: Model) -> None:
    assert model.context_window is not None
    assert model.max_output is not None
    assert 0 < model.max_output <= model.context_window
    assert model.sampling is not None
    assert model.sampling_while_reasoning is None or model.sampling_while_reasoning <= model.sampling
    assert "temperature" not in model.sampling or model.highest_temperature is not None
    assert model.retires is None or model.released is None or model.released < model.retires


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_the_facts_about_thinking_agree(model: Model) -> None:
    efforts = model.efforts
    assert efforts is not None
    assert (model.thinking == "none") == (not efforts) == (model.can(Capability.REASONING) is False)
    assert (Effort.NONE in efforts) == (model.thinking in ("adaptive", "budget"))
    assert model.default_effort is None or not efforts or model.default_effort in efforts
    assert list(efforts) == sorted(efforts, key=lambda effort: effort.value)


@pytest.mark.parametrize("model", ANSWERING, ids=lambda model: model.id)
def test_prices_keep_their_order(model: Model) -> None:
    if model.prices is None:
        return
    rates = model.prices.standard
    assert 0 < rates.cache_read <= rates.input <= rates.output
    assert rates.cache_write >= rates.input


@pytest.mark.parametrize("model", EMBEDDING, ids=lambda model: model.id)
def test_models_that_make_vectors_do_nothing_else_and_cost_nothing_to_hear(model: Model) -> None:
    facts = model.embedding

    assert facts is not None
    assert facts.can_make(facts.dimensions)
    assert model.context_window is not None
    assert not any(model.can(capability) for capability in Capability)
    assert model.prices is not None
    assert (model.prices.standard.input > 0, model.prices.standard.output) == (True, 0)


def test_no_id_is_there_twice() -> None:
    ids = [(model.provider, name) for model in MODELS for name in (model.id, *model.also)]
    retired = {(model.provider, model.id) for model in RETIRED}

    assert len(ids) == len(set(ids))
    assert not retired & set(ids)


@pytest.mark.parametrize("provider", ["claude", "openai", "deepseek", "gemini", "mock"])
def test_models_are_listed_newest_first(provider: str) -> None:
    days = [model.released for model in CATALOGUE.models(provider) if model.released is not None]

    assert days == sorted(days, reverse=True)


def test_all_models_are_listed_by_provider() -> None:
    owners = [model.provider for model in MODELS]

    assert owners == sorted(owners)
    assert set(owners) == {"claude", "deepseek", "gemini", "groq", "mistral", "mock", "openai", "xai"}


def test_a_snapshot_is_found_under_its_own_id() -> None:
    assert find("claude", "claude-haiku-4-5-20251001").id == "claude-haiku-4-5"


def test_what_retires_soon_says_when() -> None:
    assert find("claude", "claude-sonnet-4-5").retires == date(2026, 11, 30)
    assert find("openai", "gpt-4o").retires == date(2027, 1, 14)


def test_able_models_begin_with_the_provider_that_was_asked() -> None:
    able = CATALOGUE.able([Capability.DOCUMENT_INPUT], provider="openai")

    assert able[0].provider == "openai"
    assert {model.provider for model in able} == {"claude", "gemini", "openai", "mock"}


def test_able_models_also_suit() -> None:
    assert [model.id for model in CATALOGUE.able(suits=lambda model: model.id == "o3")] == ["o3"]


def test_what_the_operator_lists_is_known_by_name_alone() -> None:
    catalogue = CATALOGUE.with_providers({"lab": Offer(("llama", "llama")), "openai": Offer(("gpt-9", "o3"))})

    assert [model.id for model in catalogue.models("lab")] == ["llama"]
    assert not catalogue.models("lab")[0].is_known
    assert catalogue.models("lab")[0].can(Capability.IMAGE_INPUT) is None
    assert catalogue.find("openai", "gpt-9") == Model("openai", "gpt-9")
    assert catalogue.find("openai", "o3") == CATALOGUE.find("openai", "o3")
    assert catalogue.alias("openai", "latest") == CATALOGUE.alias("openai", "latest")


def test_a_provider_open_to_any_model_has_them_all() -> None:
    catalogue = CATALOGUE.with_providers({"lab": Offer(allow_any_model=True)}).with_providers({"other": Offer()})

    assert catalogue.find("lab", "meta/llama") == Model("lab", "meta/llama")
    assert catalogue.find("lab", "") is None
    assert catalogue.find("claude", "meta/llama") is None


def test_a_wire_the_operator_chose_brings_its_own_facts() -> None:
    older = CATALOGUE.with_providers({"openai": Offer(wire="chat_completions")}).find("openai", "gpt-5.6-sol")

    newer = find("openai", "gpt-5.6-sol")
    assert older is not None
    assert (newer.wire, newer.tools_while_reasoning, newer.linked) == ("responses", True, {"image", "document"})
    assert (older.wire, older.tools_while_reasoning, older.linked) == ("", False, {"image"})
    assert older.sampling == {"max_output_tokens", "temperature", "top_p", "seed"}
    assert older.prices == newer.prices


def test_a_wire_changes_nothing_for_a_model_served_by_another_alone() -> None:
    chosen = {"openai": Offer(wire="chat_completions"), "claude": Offer(wire="claude")}

    catalogue = CATALOGUE.with_providers(chosen)

    for provider, model_id in (("openai", "gpt-5.5-pro"), ("openai", "gpt-4.1"), ("claude", "claude-opus-5-5")):
        assert catalogue.find(provider, model_id) == CATALOGUE.find(provider, model_id)


def test_owners_are_those_who_list_an_id() -> None:
    catalogue = CATALOGUE.with_providers({"lab": Offer(("o3",))})

    assert catalogue.owners("o3") == ("openai", "lab")


def test_a_note_says_what_there_is_instead() -> None:
    support = find("deepseek", "deepseek-flash").capabilities[Capability.STRUCTURED_OUTPUT]

    assert support.level is Level.EMULATED
    assert "JSON mode" in support.note


def test_a_capability_the_gateway_makes_up_for_counts() -> None:
    model = Model("lab", "llama", capabilities={Capability.STRUCTURED_OUTPUT: Support(Level.EMULATED)})

    assert model.can(Capability.STRUCTURED_OUTPUT)


def test_a_model_reasons_unless_told_not_to() -> None:
    flash = find("deepseek", "deepseek-flash")

    assert flash.reasons(None)
    assert not flash.reasons(Effort.NONE)
    assert not find("claude", "claude-opus-4-8").reasons(None)
    assert not find("openai", "gpt-4o").reasons(Effort.HIGH)
    assert not Model("lab", "llama").reasons(Effort.HIGH)
    assert Model("lab", "llama").max_output_tokens == 0
    assert flash.max_output_tokens == 384_000
