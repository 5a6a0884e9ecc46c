"""Create the providers of the settings, and what each offers besides generation: embeddings, token counts, model lists.

No connection is opened before the first request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import ValidationError

from ..catalog.discovery import ModelLister
from ..catalog.model import Model
from ..config.errors import SettingsError, problems_from
from ..config.providers import ProviderSettings
from ..config.settings import Limits, Settings
from ..core.compaction import Compactor
from ..core.embedding import Embedder
from ..core.handler import Provider, TokenCounter
from ..resilience.key_pool import KeyPool
from .endpoints.compaction import HttpCompactor
from .endpoints.embeddings import EmbeddingWire, HttpEmbedder
from .endpoints.gemini_embeddings import GeminiEmbeddings
from .endpoints.model_listing import HttpModelLister
from .endpoints.openai_embeddings import DEFAULT, MISTRAL, OPENAI, OpenAIEmbeddings
from .endpoints.token_counting import HttpTokenCounter
from .http.connector import tls_context
from .http.dns_cache import CachingResolver
from .http.provider import HttpProvider
from .http.transport import HttpTransport, HttpxTransport
from .mock.embeddings import MockEmbedder, MockTokenCounter
from .mock.options import MockOptions
from .mock.provider import MockProvider
from .plugins.adapter import PluginProvider
from .plugins.api import NativePlugin
from .plugins.isolation import plugin_loop
from .plugins.registry import ProviderRegistry
from .wires.anthropic import AnthropicWire
from .wires.chat_completions.azure import AzureWire
from .wires.chat_completions.vendors import vendor_wire
from .wires.gemini import GeminiWire
from .wires.responses import ResponsesWire
from .wires.wire import Wire

FindModel = Callable[[str], Model | None]
"""Look up one of the provider's models in the catalog by its id."""

PROVIDERS_WITHOUT_EMBEDDINGS = frozenset(("claude", "deepseek", "groq", "xai"))
"""Other providers of the chat-completions wire may have an embeddings endpoint, so requests are attempted."""

MAX_CONTROL_CONNECTIONS = 4
"""Connections to one provider for probes and model lists."""

EMBEDDING_QUIRKS = {"openai": OPENAI, "azure": OPENAI, "mistral": MISTRAL}


class ProviderSet:
    """Create the enabled providers. Raises SettingsError if a plug-in cannot be loaded.

    `providers` and `key_pools` are keyed by provider name. Plug-ins manage their own keys and have no key pool.
    `find_model` looks up a provider and a model in the current catalog. The providers of `previous` whose settings are
    the same are used again, with their connections and keys.
    """

    def __init__(
        self,
        settings: Settings,
        find_model: Callable[[str, str], Model | None],
        registry: ProviderRegistry,
        previous: ProviderSet | None = None,
    ) -> None:
        self._settings = settings
        self._find_model = find_model
        enabled = [name for name, provider in settings.providers.items() if provider.enabled]
        plugins = registry.load([name for name in settings.plugins.providers if name in enabled])
        self.plugin_names: tuple[str, ...] = tuple(plugins)
        self.providers: dict[str, Provider] = {}
        self.key_pools: dict[str, KeyPool] = {}
        for name in enabled:
            if previous is not None and previous._has_same(name, settings):
                self._use_again(name, previous)
            elif name in plugins:
                self._open_plugin(name, plugins[name])
            else:
                self._open(name, previous)

    def embedders(self) -> Mapping[str, Embedder]:
        """Return the providers that support embeddings."""
        found = {
            name: embedder_for(name, self._settings.providers[name].wire, provider, partial(self._find_model, name))
            for name, provider in self.providers.items()
        }
        return {name: embedder for name, embedder in found.items() if embedder is not None}

    def token_counters(self) -> Mapping[str, TokenCounter]:
        """Return the providers that may count tokens."""
        found = {name: token_counter_for(provider) for name, provider in self.providers.items()}
        return {name: counter for name, counter in found.items() if counter is not None}

    def compactors(self) -> Mapping[str, Compactor]:
        """Return the providers that may compact prompts."""
        return {name: HttpCompactor(one) for name, one in self.providers.items() if isinstance(one, HttpProvider)}

    def model_listers(self) -> Mapping[str, ModelLister]:
        """Return the providers that list their models."""
        found = {name: model_lister_for(name, provider) for name, provider in self.providers.items()}
        return {name: lister for name, lister in found.items() if lister is not None}

    def _has_same(self, name: str, settings: Settings) -> bool:
        mine = self._settings
        is_same = mine.providers.get(name) == settings.providers[name] and mine.limits == settings.limits
        return is_same and name in self.providers

    def _use_again(self, name: str, previous: ProviderSet) -> None:
        self.providers[name] = previous.providers[name]
        if name in previous.key_pools:
            self.key_pools[name] = previous.key_pools[name]

    def _open(self, name: str, previous: ProviderSet | None) -> None:
        settings = self._settings.providers[name]
        key_pool = self.key_pools[name] = key_pool_for(settings)
        if previous is not None and name in previous.key_pools:
            key_pool.adopt_quarantines(previous.key_pools[name])
        find_model = partial(self._find_model, name)
        self.providers[name] = open_provider(name, settings, self._settings.limits, find_model, key_pool)

    def _open_plugin(self, name: str, plugin: NativePlugin) -> None:
        settings = self._settings.providers[name]
        open_pool = partial(open_transport, name, settings)
        self.providers[name] = PluginProvider(plugin, settings, open_pool, time.monotonic, plugin_loop(name))


def open_provider(
    name: str,
    settings: ProviderSettings,
    limits: Limits,
    find_model: FindModel = lambda model: None,
    key_pool: KeyPool | None = None,
) -> Provider:
    """Create a built-in provider. On the chat-completions wire, `name` selects the quirks of a vendor.

    `key_pool` is the pool to share with other parts of the server; without it, one is created from the settings. Raises
    OSError if the `ca_file` cannot be loaded any more, SettingsError for invalid options of the mock provider.
    """
    if settings.wire == "mock":
        return _open_mock(name, settings)
    wire, wire_for = wires_of(name, settings, limits, find_model)
    open_pool = partial(
        HttpTransport,
        name,
        **_connection_options(settings),
        resolver=CachingResolver(settings.connect_timeout_seconds),
    )
    return HttpProvider(
        name,
        wire,
        open_pool(max_connections=settings.max_connections),
        key_pool_for(settings) if key_pool is None else key_pool,
        limits,
        operations=HttpxTransport(open_pool(max_connections=settings.max_connections)),
        control=HttpxTransport(open_pool(max_connections=MAX_CONTROL_CONNECTIONS)),
        wire_for=wire_for,
        api_key_env=settings.api_key_env,
        secrets=tuple(settings.headers.values()),
        user_agent=f"aimanager/{_version()}",
    )


def _open_mock(name: str, settings: ProviderSettings) -> MockProvider:
    try:
        return MockProvider(settings.options, lambda: asyncio.get_running_loop().time(), asyncio.sleep)
    except ValidationError as error:
        known = f"unknown option; known options: {', '.join(MockOptions.model_fields)}"
        table = f"providers.{name}.options"
        problems = problems_from(error, lambda path: "", lambda path: known)
        raise SettingsError(replace(one, setting=f"{table}.{one.setting}") for one in problems) from None


def key_pool_for(settings: ProviderSettings) -> KeyPool:
    """Return a pool of the API keys in the settings of one provider."""
    secrets = [(credential.key, credential.weight) for credential in settings.credentials()]
    return KeyPool(secrets, time.monotonic, settings.key_selection)


def open_transport(name: str, settings: ProviderSettings) -> HttpTransport:
    """Create the connection pool of a plug-in."""
    return HttpTransport(name, **_connection_options(settings), max_connections=settings.max_connections)


def _connection_options(settings: ProviderSettings) -> dict[str, Any]:
    """Return the options that all connection pools of a provider share."""
    tls = cache(partial(tls_context, settings.ca_file))
    if settings.ca_file is not None:
        tls()
    return {
        "max_idle_connections": settings.max_idle_connections,
        "connect_timeout": settings.connect_timeout_seconds,
        "tls": tls,
        "proxy": _proxy(settings.base_url) if settings.use_proxy else None,
    }


def embedder_for(name: str, wire: str, provider: Provider, find_model: FindModel) -> Embedder | None:
    """Return the embedder of a provider; None if it has no embeddings."""
    if isinstance(provider, MockProvider):
        return MockEmbedder(provider)
    embedding_wire = None if name in PROVIDERS_WITHOUT_EMBEDDINGS else _embedding_wire(name, wire, find_model)
    if embedding_wire is None or not isinstance(provider, HttpProvider):
        return None
    return HttpEmbedder(provider, embedding_wire)


def token_counter_for(provider: Provider) -> TokenCounter | None:
    """Return the token counter of a provider; None for plug-ins."""
    if isinstance(provider, MockProvider):
        return MockTokenCounter(provider)
    return HttpTokenCounter(provider) if isinstance(provider, HttpProvider) else None


def model_lister_for(name: str, provider: Provider) -> ModelLister | None:
    """Return the model lister of a provider; None if the catalog is complete, as for the mock provider."""
    if isinstance(provider, PluginProvider):
        return provider
    return HttpModelLister(name, provider) if isinstance(provider, HttpProvider) else None


def wires_of(
    name: str, settings: ProviderSettings, limits: Limits, find_model: FindModel
) -> tuple[Wire, Callable[[str], Wire] | None]:
    """Return the wire of a provider and, if its models use several, a function that selects the wire of a model."""
    match settings.wire:
        case "anthropic":
            return AnthropicWire(settings, limits, find_model), None
        case "gemini":
            return GeminiWire(settings, limits, find_model), None
        case "chat_completions":
            if name == "azure":
                return AzureWire(settings, limits), None
            return vendor_wire(name, settings, limits, find_model), None
        case "responses":
            return _responses_wires(settings, limits, find_model)
        case "mock" | "plugin":
            raise ValueError(f"The wire {settings.wire!r} of provider {name!r} is not an HTTP wire.")


def _responses_wires(
    settings: ProviderSettings, limits: Limits, find_model: FindModel
) -> tuple[Wire, Callable[[str], Wire]]:
    """Servers of the Responses API also implement chat completions, which some models require."""
    responses = ResponsesWire(settings, limits, find_model)
    chat_completions = vendor_wire("openai", settings, limits, find_model)

    def wire_for(model_id: str) -> Wire:
        model = find_model(model_id)
        return chat_completions if model is not None and model.wire == "chat_completions" else responses

    return responses, wire_for


def _embedding_wire(name: str, wire: str, find_model: FindModel) -> EmbeddingWire | None:
    if wire == "gemini":
        return GeminiEmbeddings(find_model)
    if wire in ("chat_completions", "responses"):
        return OpenAIEmbeddings(EMBEDDING_QUIRKS.get(name, DEFAULT))
    return None


def _proxy(base_url: str) -> str | None:
    url = urlsplit(base_url)
    return None if proxy_bypass(url.netloc) else getproxies().get(url.scheme)


def _version() -> str:
    try:
        return version("aimanager")
    except PackageNotFoundError:
        return "0"
