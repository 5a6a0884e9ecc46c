"""Overrides of model facts in the settings."""

from __future__ import annotations

from typing import Any, get_args

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, Model, Prices, Rates, Support, SupportLevel
from aimanager_server.config.models import CapabilityName, LevelName
from tests.support.gateway import settings_with


def overridden(**models: Any) -> Catalog:
    settings = settings_with(
        models=models, providers={"groq": {"wire": "chat_completions", "base_url": "https://g.test", "models": ["x"]}}
    )
    return Catalog.load().with_providers(settings.providers).with_overrides(settings.models)


def found(catalog: Catalog, provider: str, model_id: str) -> Model:
    model = catalog.find(provider, model_id)
    assert model is not None
    return model


def test_capabilities_and_levels_have_the_names_of_the_catalog() -> None:
    assert set(get_args(CapabilityName)) == {capability.value for capability in Capability}
    assert set(get_args(LevelName)) == {level.value for level in SupportLevel}


def test_configured_facts_replace_those_of_the_catalog_and_the_others_stay() -> None:
    before = found(Catalog.load(), "openai", "gpt-4o")
    override = {
        "name": "Ours",
        "context_window": 64_000,
        "capabilities": {"image_input": "none", "image_output": "emulated"},
        "prices": {"input": "1.5", "output": "2", "cache_read": "0.000000001"},
    }

    after = found(overridden(**{"openai/gpt-4o": override}), "openai", "gpt-4o")

    assert (after.name, after.context_window, after.max_output_tokens) == ("Ours", 64_000, before.max_output_tokens)
    assert after.prices == Prices(Rates(1_500_000_000, 2_000_000_000, 1, 1_500_000_000, 1_500_000_000))
    assert after.capabilities == {
        **before.capabilities,
        Capability.IMAGE_INPUT: Support(SupportLevel.NONE),
        Capability.IMAGE_OUTPUT: Support(SupportLevel.EMULATED),
    }
    assert (after.sampling_fields, after.alternate_ids, after.source) == (
        before.sampling_fields,
        before.alternate_ids,
        before.source,
    )


def test_an_override_of_a_snapshot_applies_to_its_model_and_keeps_the_aliases() -> None:
    catalog = overridden(
        **{"openai/gpt-4o-2024-08-06": {"context_window": 5}, "claude/claude-opus-5-5": {"max_output_tokens": 7}}
    )

    assert found(catalog, "openai", "gpt-4o").context_window == 5
    assert found(catalog, "claude", "claude-opus-5-5").aliases == ("latest", "reasoning")


def test_an_override_adds_unknown_models_and_facts_to_models_known_by_name() -> None:
    catalog = overridden(**{"groq/y": {"context_window": 9}, "groq/x": {"prices": {"input": "1", "output": "1"}}})

    assert found(catalog, "groq", "y").context_window == 9
    assert found(catalog, "groq", "x").prices is not None
