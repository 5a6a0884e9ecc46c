"""What the samples find around them: the public names, and what the document's provider classes import."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import aimanager
from aimanager import AIManager
from aimanager_server.config.errors import SettingsError
from aimanager_server.plugins import BaseAIProvider, ProviderPlugin
from aimanager_server.providers.plugins.registry import ProviderRegistry
from tests.support.gateway import settings_with, started_gateway


def _client_of_a_vendor(**options: str) -> Any:
    """Return a client with the methods that the document calls; the answer is the request, and the client's options."""

    def create(**request: Any) -> str:
        return f"{options | request}"

    calls = SimpleNamespace(create=create)
    return SimpleNamespace(messages=calls, chat=SimpleNamespace(completions=calls))


@contextmanager
def served(plugin: ProviderPlugin) -> Iterator[AIManager]:
    """Return a client of a gateway with a plug-in, whose key is sk-plug-in."""
    registry = ProviderRegistry([])
    registry.register_provider(plugin)
    name = plugin.get_provider_name()
    settings = settings_with(plugins={"providers": [name]}, providers={name: {"api_key": "sk-plug-in"}})
    with started_gateway(settings, registry) as target, AIManager.gateway(target, retries=0) as ai:
        yield ai


NAMES: Mapping[str, Any] = {
    **{name: getattr(aimanager, name) for name in dir(aimanager) if not name.startswith("_")},
    **{name: getattr(typing, name) for name in ("Any", "Dict", "Iterator", "List", "Optional", "Union")},
    "BaseAIProvider": BaseAIProvider,
    "ProviderPlugin": ProviderPlugin,
    "ProviderRegistry": ProviderRegistry,
    "SettingsError": SettingsError,
    "served": served,
    "anthropic": SimpleNamespace(Anthropic=_client_of_a_vendor),
    "openai": SimpleNamespace(OpenAI=_client_of_a_vendor),
}
