"""The factory creates providers by name, wire and plug-in, with one key pool each."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.errors import SettingsError
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.errors import MissingCredentials
from aimanager_server.core.request import ApiKey
from aimanager_server.providers.factory import ProviderSet, open_provider
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.mock.provider import MockProvider
from aimanager_server.providers.plugins.registry import ProviderRegistry
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.chat_completions import LIMITS, provider_settings
from tests.support.gateway import settings_with
from tests.support.plugins import ScriptedPlugin

KEYS = [{"api_key": "one-1234", "weight": 2}, {"api_key": "two-1234"}]
WIRES: list[str] = ProviderSettings.model_json_schema()["properties"]["wire"]["enum"]


@pytest.mark.parametrize("name", ["claude", "openai", "deepseek", "azure", "chat_completions"])
async def test_a_known_provider_is_created_by_name(name: str) -> None:
    provider = open_provider(name, provider_settings(), LIMITS)

    assert isinstance(provider, HttpProvider)
    await provider.aclose()


@pytest.mark.parametrize("wire", sorted(set(WIRES) - {"plugin"}))
async def test_any_other_provider_is_created_by_its_wire(wire: str) -> None:
    settings = ProviderSettings.model_validate({"wire": wire, "base_url": "https://upstream.test/v1"})

    provider = open_provider("other", settings, LIMITS)

    assert isinstance(provider, MockProvider if wire == "mock" else HttpProvider)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"speed": 1}, "providers.mock.options.speed: unknown option; known options: scripts, latency, rate,"),
        ({"rate": 0}, "providers.mock.options.rate: must be greater than 0, got 0"),
        (
            {"scripts": [{"match": "a", "answer": "[[repyl: x]]"}]},
            "options.scripts[0].answer: must contain known mock",
        ),
    ],
)
def test_invalid_options_of_the_mock_provider_are_settings_errors(options: dict[str, Any], problem: str) -> None:
    settings = ProviderSettings.model_validate({"wire": "mock", "options": options})

    with pytest.raises(SettingsError) as caught:
        open_provider("mock", settings, LIMITS)

    assert problem in str(caught.value)


async def test_a_given_key_pool_is_used_even_if_empty() -> None:
    settings = provider_settings(api_key="sk-of-the-settings", api_key_env="UP_API_KEY")

    provider = open_provider("other", settings, LIMITS, key_pool=KeyPool([], lambda: 0.0))

    with pytest.raises(MissingCredentials):
        await provider.probe()
    await provider.aclose()


async def test_every_provider_except_plugins_has_a_pool_of_its_keys() -> None:
    upstream = {
        "wire": "chat_completions",
        "base_url": "https://up.test/v1",
        "keys": KEYS,
        "key_selection": "least_loaded",
        "models": ["m"],
    }
    registry = ProviderRegistry()
    registry.register_provider(ScriptedPlugin())
    providers = {"up": upstream, "scripted": {"wire": "plugin", "api_key": "scripted-1234"}}
    settings = settings_with(providers=providers, plugins={"providers": ["scripted"]})

    created = ProviderSet(settings, Catalog.load().with_providers(settings.providers).find, registry)

    assert list(created.key_pools["up"].candidates()) == [ApiKey("1", "one-1234"), ApiKey("2", "two-1234")]
    assert created.key_pools["up"].tracks_in_flight
    assert len(created.key_pools["mock"]) == 0
    assert created.key_pools.keys() == created.providers.keys() - {"scripted"}
    for provider in created.providers.values():
        await provider.aclose()
