"""Providers known by name need only a table with their name, or their API key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.provider_defaults import BUILT_IN_PROVIDERS, KNOWN_PROVIDERS

REQUIRED_SETTINGS = {"azure": {"base_url": "https://my-resource.openai.azure.com"}}
OPTIONAL_PROVIDERS = [name for name in KNOWN_PROVIDERS if name not in BUILT_IN_PROVIDERS]
HTTP_PROVIDERS = [name for name in OPTIONAL_PROVIDERS if name != "mock"]
WITH_API_KEY = [name for name in HTTP_PROVIDERS if KNOWN_PROVIDERS[name]["api_key_env"] and name != "azure"]


@pytest.mark.parametrize("name", HTTP_PROVIDERS)
def test_a_table_with_its_name_adds_a_known_provider(name: str) -> None:
    loaded = load({"providers": {name: REQUIRED_SETTINGS.get(name, {})}}, None, {})

    provider = loaded.settings.providers[name]
    assert provider.wire == "chat_completions"
    assert provider.base_url
    assert loaded.origin(("providers", name, "api_key_env")) == "provider default"


@pytest.mark.parametrize("name", WITH_API_KEY)
def test_an_api_key_in_the_environment_adds_a_known_provider(name: str) -> None:
    variable = KNOWN_PROVIDERS[name]["api_key_env"]

    loaded = load({}, None, {variable: "k"})

    assert loaded.settings.providers[name].credentials()[0].key == "k"
    assert loaded.origin(("providers", name, "api_key")) == f"environment:{variable}"


def test_without_tables_and_api_keys_only_the_built_in_providers_exist() -> None:
    settings = load({}, None, {"GROQ_API_KEY": "", "OLLAMA_HOST": "127.0.0.1"}).settings

    assert tuple(settings.providers) == BUILT_IN_PROVIDERS


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ({"providers": {"mock": {}}}, {}),
        ({"providers": {"mock": {"enabled": True}}}, {}),
        ({}, {"AIMANAGER_PROVIDERS__MOCK__ENABLED": "true"}),
    ],
)
def test_the_mock_provider_exists_only_if_the_settings_name_it(
    arguments: Mapping[str, Any], variables: Mapping[str, str]
) -> None:
    assert load(arguments, None, variables).settings.providers["mock"].wire == "mock"
    assert "mock" not in load({"server": {"default_model": "mock/latest"}}, None, {}).settings.providers


def test_azure_requires_its_endpoint_in_addition_to_the_api_key() -> None:
    with_key = load({}, None, {"AZURE_OPENAI_API_KEY": "k"}).settings
    with_both = load({}, None, {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://my.openai.azure.com/"})

    assert "azure" not in with_key.providers
    assert with_both.settings.providers["azure"].base_url == "https://my.openai.azure.com"
    assert with_both.origin(("providers", "azure", "base_url")) == "environment:AZURE_OPENAI_ENDPOINT"


def test_an_endpoint_without_api_key_adds_no_provider() -> None:
    settings = load({}, None, {"AZURE_OPENAI_ENDPOINT": "https://my.openai.azure.com"}).settings

    assert "azure" not in settings.providers


def test_azure_without_base_url_is_rejected() -> None:
    with pytest.raises(SettingsError, match=r"providers\.azure\.base_url .*is required"):
        load({"providers": {"azure": {}}}, None, {})


@pytest.mark.parametrize("name", ["openrouter", "together", "fireworks", "azure", "ollama", "vllm", "lmstudio"])
def test_hosts_of_other_vendors_models_accept_any_model(name: str) -> None:
    settings = load({"providers": {name: REQUIRED_SETTINGS.get(name, {})}}, None, {}).settings

    assert settings.providers[name].allow_any_model


def test_google_api_key_takes_precedence_over_gemini_api_key() -> None:
    both = {"GOOGLE_API_KEY": "google", "GEMINI_API_KEY": "gemini"}
    only_gemini = {"GEMINI_API_KEY": "gemini"}

    keys = [load({}, None, each).settings.providers["gemini"].credentials() for each in (both, only_gemini)]

    assert [credential.key for (credential,) in keys] == ["google", "gemini"]


def test_the_origin_of_an_api_key_is_the_variable_that_contained_it() -> None:
    loaded = load({}, None, {"GOOGLE_API_KEY": " ", "GEMINI_API_KEY": "k"})

    assert loaded.origin(("providers", "gemini", "api_key")) == "environment:GEMINI_API_KEY"


def test_a_configured_api_key_env_has_no_aliases() -> None:
    arguments = {"providers": {"gemini": {"api_key_env": "MY_KEY"}}}

    settings = load(arguments, None, {"GEMINI_API_KEY": "k"}).settings

    assert settings.providers["gemini"].credentials() == ()


def test_the_config_file_overrides_provider_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[providers.ollama]\nbase_url = "http://127.0.0.1:9/v1"\nallow_any_model = false\n'
    )

    provider = load({}, tmp_path / "a.toml", {}).settings.providers["ollama"]

    assert (provider.base_url, provider.allow_any_model) == ("http://127.0.0.1:9/v1", False)
