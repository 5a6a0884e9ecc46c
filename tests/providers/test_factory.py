"""Providers and their keys, as the settings name them."""

from __future__ import annotations

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.core.request import ApiKey
from aimanager_server.providers.plugins.registry import ProviderRegistry
from aimanager_server.providers.provider_set import Opened
from tests.support.gateway import settings_with
from tests.support.plugins import Told

KEYS = [{"api_key": "one-1234", "weight": 2}, {"api_key": "two-1234"}]


async def test_each_provider_but_a_plug_in_has_one_ring_of_its_keys() -> None:
    up = {
        "wire": "chat_completions",
        "base_url": "https://up.test/v1",
        "keys": KEYS,
        "key_spread": "least_loaded",
        "models": ["m"],
    }
    registry = ProviderRegistry()
    registry.register_provider(Told())
    told = {"wire": "plugin", "api_key": "told-1234"}
    settings = settings_with(providers={"up": up, "told": told}, plugins={"providers": ["told"]})

    opened = Opened(settings, Catalogue.load().with_providers(settings.providers), registry)

    assert list(opened.rings["up"].candidates()) == [ApiKey("1", "one-1234"), ApiKey("2", "two-1234")]
    assert opened.rings["up"].counts
    assert len(opened.rings["mock"]) == 0
    assert opened.rings.keys() == opened.providers.keys() - {"told"}
    for provider in opened.providers.values():
        await provider.aclose()
