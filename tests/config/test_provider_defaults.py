"""Providers that are known by name need no more than their name, or their key."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.provider_defaults import BUILT_IN, KNOWN

OWN_ADDRESS = {"azure": {"base_url": "https://my-resource.openai.azure.com"}}
BESIDE = [name for name in KNOWN if name not in BUILT_IN]
KEYED = [name for name in BESIDE if KNOWN[name]["key_variable"] and name != "azure"]


@pytest.mark.parametrize("name", BESIDE)
def test_its_name_in_the_config_is_enough(name: str) -> None:
    loaded = load({"providers": {name: OWN_ADDRESS.get(name, {})}}, None, {})

    provider = loaded.settings.providers[name]
    assert provider.wire == "chat_completions"
    assert provider.base_url
    assert loaded.origin(("providers", name, "key_variable")) == "provider default"


@pytest.mark.parametrize("name", KEYED)
def test_its_key_in_the_environment_is_enough(name: str) -> None:
    variable = KNOWN[name]["key_variable"]

    loaded = load({}, None, {variable: "k"})

    assert loaded.settings.providers[name].credentials()[0].key == "k"
    assert loaded.origin(("providers", name, "api_key")) == f"environment:{variable}"


def test_nobody_is_there_who_was_neither_named_nor_given_a_key() -> None:
    settings = load({}, None, {"GROQ_API_KEY": "", "OLLAMA_HOST": "127.0.0.1"}).settings

    assert tuple(settings.providers) == BUILT_IN


def test_azure_needs_its_address_beside_its_key() -> None:
    keyed = load({}, None, {"AZURE_OPENAI_API_KEY": "k"}).settings
    placed = load({}, None, {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://my.openai.azure.com/"})

    assert "azure" not in keyed.providers
    assert placed.settings.providers["azure"].base_url == "https://my.openai.azure.com"
    assert placed.origin(("providers", "azure", "base_url")) == "environment:AZURE_OPENAI_ENDPOINT"


def test_an_address_in_the_environment_alone_makes_no_provider() -> None:
    settings = load({}, None, {"AZURE_OPENAI_ENDPOINT": "https://my.openai.azure.com"}).settings

    assert "azure" not in settings.providers


def test_azure_that_is_named_without_an_address_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"providers\.azure\.base_url .*is missing"):
        load({"providers": {"azure": {}}}, None, {})


@pytest.mark.parametrize("name", ["openrouter", "together", "fireworks", "azure", "ollama", "vllm", "lmstudio"])
def test_a_host_of_others_models_takes_any(name: str) -> None:
    settings = load({"providers": {name: OWN_ADDRESS.get(name, {})}}, None, {}).settings

    assert settings.providers[name].allow_any_model


def test_googles_variable_wins_over_geminis() -> None:
    both = {"GOOGLE_API_KEY": "google", "GEMINI_API_KEY": "gemini"}

    keys = [
        load({}, None, said).settings.providers["gemini"].credentials() for said in (both, {"GEMINI_API_KEY": "gemini"})
    ]

    assert [held.key for (held,) in keys] == ["google", "gemini"]


def test_the_origin_of_a_key_is_the_variable_that_held_it() -> None:
    loaded = load({}, None, {"GOOGLE_API_KEY": " ", "GEMINI_API_KEY": "k"})

    assert loaded.origin(("providers", "gemini", "api_key")) == "environment:GEMINI_API_KEY"


def test_a_key_variable_of_its_own_stands_for_no_other() -> None:
    said = {"providers": {"gemini": {"key_variable": "MY_KEY"}}}

    settings = load(said, None, {"GEMINI_API_KEY": "k"}).settings

    assert settings.providers["gemini"].credentials() == ()


def test_what_the_config_says_beats_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[providers.ollama]\nbase_url = "http://127.0.0.1:9/v1"\nallow_any_model = false\n'
    )

    provider = load({}, tmp_path / "a.toml", {}).settings.providers["ollama"]

    assert (provider.base_url, provider.allow_any_model) == ("http://127.0.0.1:9/v1", False)
