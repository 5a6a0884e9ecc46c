"""Opens the providers that the settings name, plug-ins among them, and finds what each offers beside answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from ..catalog.catalog import Catalogue, Lister
from ..config.settings import ProviderSettings, Settings
from ..core.embedding import Embedder
from ..core.handler import Provider, TokenCounter
from ..resilience.key_pool import KeyRing
from .endpoint_factory import counter_of, embedder_of, lister_of
from .factory import open_provider, open_transport, ring_of
from .http.transport import PooledTransport
from .plugins.adapter import PluggedProvider
from .plugins.isolation import Seclusion
from .plugins.registry import ProviderRegistry


def _httpx_transport(name: str, said: ProviderSettings) -> PooledTransport:
    return PooledTransport(open_transport(name, said))


class Opened:
    """The enabled providers by name. No connection is made yet. Raises SettingsError for a plug-in that is none.

    `rings` holds the keys of each provider but the plug-ins, who use theirs by themselves.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, registry: ProviderRegistry) -> None:
        self._settings = settings
        self._catalogue = catalogue
        enabled = [name for name, provider in settings.providers.items() if provider.enabled]
        plugged = [name for name in settings.plugins.providers if name in enabled]
        plugins = registry.load(plugged)
        self.plugged: tuple[str, ...] = tuple(plugins)
        self.providers: dict[str, Provider] = {}
        self.rings: dict[str, KeyRing] = {}
        for name in enabled:
            said = settings.providers[name]
            if name in plugins:
                connect = partial(_httpx_transport, name, said)
                self.providers[name] = PluggedProvider(plugins[name], said, connect, time.monotonic, Seclusion(name))
            else:
                ring = self.rings[name] = ring_of(said)
                facts = partial(catalogue.find, name)
                self.providers[name] = open_provider(name, said, settings.limits, facts, ring)

    def embedders(self) -> Mapping[str, Embedder]:
        """Who turns texts into vectors."""
        found = {
            name: embedder_of(name, self._settings.providers[name].wire, provider, partial(self._catalogue.find, name))
            for name, provider in self.providers.items()
        }
        return {name: embedder for name, embedder in found.items() if embedder is not None}

    def counters(self) -> Mapping[str, TokenCounter]:
        """Who counts tokens."""
        found = {name: counter_of(provider) for name, provider in self.providers.items()}
        return {name: counter for name, counter in found.items() if counter is not None}

    def listers(self) -> Mapping[str, Lister]:
        """Who lists models."""
        found = {name: lister_of(name, provider) for name, provider in self.providers.items()}
        return {name: lister for name, lister in found.items() if lister is not None}
