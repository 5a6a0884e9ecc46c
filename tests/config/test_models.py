"""What an operator knows better of models, and which plug-ins are let in, as said in the settings."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.catalog.model import Capability, Level, Model, Prices, Rates, Support
from aimanager_server.config.errors import SettingsError
from aimanager_server.config.models import CapabilityName, LevelName
from aimanager_server.config.plugins import Plugins, plugged, with_plugged
from tests.support.gateway import settings_with


def corrected(**models: Any) -> Catalogue:
    settings = settings_with(
        models=models, providers={"groq": {"wire": "chat_completions", "base_url": "https://g.test", "models": ["x"]}}
    )
    return Catalogue.load().with_providers(settings.providers).corrected(settings.models)


def found(catalogue: Catalogue, provider: str, model_id: str) -> Model:
    model = catalogue.find(provider, model_id)
    assert model is not None
    return model


def test_the_names_are_those_of_the_catalogue() -> None:
    assert set(get_args(CapabilityName)) == {capability.value for capability in Capability}
    assert set(get_args(LevelName)) == {level.value for level in Level}


def test_what_is_said_replaces_and_the_rest_stays() -> None:
    before = found(Catalogue.load(), "openai", "gpt-4o")
    said = {
        "name": "Ours",
        "context_window": 64_000,
        "capabilities": {"image_input": "none", "image_output": "emulated"},
        "prices": {"input": "1.5", "output": "2", "cache_read": "0.000000001"},
    }

    after = found(corrected(**{"openai/gpt-4o": said}), "openai", "gpt-4o")

    assert (after.name, after.context_window, after.max_output) == ("Ours", 64_000, before.max_output)
    assert after.prices == Prices(Rates(1_500_000_000, 2_000_000_000, 1, 1_500_000_000))
    assert after.capabilities == {
        **before.capabilities,
        Capability.IMAGE_INPUT: Support(Level.NONE),
        Capability.IMAGE_OUTPUT: Support(Level.EMULATED),
    }
    assert (after.sampling, after.also, after.source) == (before.sampling, before.also, before.source)


def test_a_snapshot_is_corrected_with_its_model_and_aliases_hold() -> None:
    catalogue = corrected(
        **{"openai/gpt-4o-2024-08-06": {"context_window": 5}, "claude/claude-opus-5-5": {"max_output": 7}}
    )

    assert found(catalogue, "openai", "gpt-4o").context_window == 5
    assert found(catalogue, "claude", "claude-opus-5-5").aliases == ("latest", "reasoning")


def test_a_model_that_nobody_knew_is_added_and_one_known_by_name_gets_facts() -> None:
    catalogue = corrected(**{"groq/y": {"context_window": 9}, "groq/x": {"prices": {"input": "1", "output": "1"}}})

    assert found(catalogue, "groq", "y").context_window == 9
    assert found(catalogue, "groq", "x").prices is not None


@pytest.mark.parametrize(
    ("sections", "key", "text"),
    [
        ({"models": {"nobody/x": {}}}, "models.nobody/x", "names no provider"),
        ({"models": {"openai": {}}}, "models.openai", "is not the name of a model"),
        ({"models": {"openai/": {}}}, "models.openai/", "is not the name of a model"),
        ({"models": {"openai/x": {"windoe": 1}}}, "models.openai/x.windoe", "is not a setting"),
        ({"models": {"openai/x": {"context_window": 0}}}, "models.openai/x.context_window", "accepted is"),
        (
            {"models": {"openai/x": {"capabilities": {"fly": "native"}}}},
            "models.openai/x.capabilities.fly",
            "accepted is",
        ),
        ({"models": {"openai/x": {"capabilities": {"reasoning": "a bit"}}}}, "capabilities.reasoning", "accepted is"),
        ({"models": {"openai/x": {"prices": {"input": "1"}}}}, "models.openai/x.prices.output", "is missing"),
        *(
            ({"models": {"openai/x": {"prices": {"input": amount, "output": "1"}}}}, "prices.input", "is not an amount")
            for amount in ("-1", "a", "NaN", "Infinity", "0.0000000001")
        ),
        ({"plugins": {"providers": ["claude"]}}, "plugins.providers[0]", "comes with the server"),
        ({"plugins": {"providers": ["a", "a"]}}, "plugins.providers[1]", "is there twice"),
        ({"plugins": {"providers": ["No name"]}}, "plugins.providers[0]", "is not a name"),
        ({"plugins": {"providers": "a"}}, "plugins.providers", "accepted is a list"),
        ({"plugins": {"providers": [1]}}, "plugins.providers[0]", "accepted is text"),
        ({"plugins": {"providers": ["a"]}, "providers": {"a": {"wire": "mock"}}}, "providers.a.wire", "does not fit"),
        ({"plugins": {"providers": ["a"]}, "providers": {"a": 5}}, "providers.a", "accepted is a table"),
        ({"providers": {"a": {"wire": "plugin"}}}, "providers.a.wire", "does not fit"),
    ],
)
def test_what_cannot_be_used_is_named(sections: dict[str, Any], key: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_with(**sections)

    assert any(key in problem.key and text in problem.text for problem in caught.value.problems), str(caught.value)


def test_a_plug_in_adds_a_provider_that_needs_no_key_unless_its_table_says_so() -> None:
    plain = settings_with(plugins={"providers": ["acme"]}).providers["acme"]
    said = settings_with(
        {"ACME_KEY": "k"},
        plugins={"providers": ["acme"]},
        providers={"acme": {"key_variable": "ACME_KEY", "options": {"marks": 1}}},
    ).providers["acme"]

    assert (plain.wire, plain.key_variable, plain.credentials()) == ("plugin", "", ())
    assert [credential.key for credential in said.credentials()] == ["k"]
    assert said.options == {"marks": 1}


def test_what_is_no_table_is_left_for_validation() -> None:
    assert plugged(None) == plugged({"providers": "a"}) == {}
    assert with_plugged(5, Plugins(providers=["a"])) == 5
    assert with_plugged({"a": 5}, Plugins(providers=["a"])) == {"a": 5}
