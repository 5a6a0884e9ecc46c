"""Settings that take effect only at the next start of the server, and what is used until then."""

from __future__ import annotations

from .provider_defaults import PLUGIN_WIRE
from .providers import ProviderSettings
from .settings import Limits, ServerSettings, Settings, TlsSettings
from .storage import StorageSettings

RESTART_SETTINGS = ("listen", "health_listen", "metrics_listen", "reflection")
"""Settings of [server] that always need a restart."""


def until_restart(started: Settings, loaded: Settings) -> Settings:
    """Return the loaded settings, but those with which the server was started where a change needs a restart.

    These are the listeners, the database, reflection, whether TLS and client certificates are used, the list of
    plug-ins, and what gRPC's connections cannot change: a longer `stream_timeout_seconds`, and a `max_message_bytes`
    above both its default and its first value.
    """
    max_message_bytes = max(started.limits.max_message_bytes, Limits().max_message_bytes)
    limits = {"max_message_bytes": min(loaded.limits.max_message_bytes, max_message_bytes)}
    return loaded.model_copy(
        update={
            "server": _server(started.server, loaded.server),
            "limits": loaded.limits.model_copy(update=limits),
            "plugins": started.plugins,
            "storage": _storage(started.storage, loaded.storage),
            "providers": _providers(started, loaded),
        }
    )


def _server(started: ServerSettings, loaded: ServerSettings) -> ServerSettings:
    kept = {name: getattr(started, name) for name in RESTART_SETTINGS}
    stream_timeout_seconds = min(loaded.stream_timeout_seconds, started.stream_timeout_seconds)
    tls = loaded.tls if _uses(loaded.tls) == _uses(started.tls) else started.tls
    return loaded.model_copy(update={**kept, "stream_timeout_seconds": stream_timeout_seconds, "tls": tls})


def _storage(started: StorageSettings, loaded: StorageSettings) -> StorageSettings:
    """Return the settings with which the store was opened, but for the limits in memory."""
    changed = {name: getattr(loaded, name) for name in ("max_memory_bytes", "idle_memory_seconds")}
    return started.model_copy(update=changed)


def _uses(tls: TlsSettings | None) -> tuple[bool, bool]:
    """Return whether TLS is used, and whether client certificates are."""
    return tls is not None, tls is not None and tls.client_ca_file is not None


def _providers(started: Settings, loaded: Settings) -> dict[str, ProviderSettings]:
    """Return the loaded providers without new plug-ins, and with those that were removed from the list."""
    plugins = started.plugins.providers
    kept = {name: started.providers[name] for name in plugins if name not in loaded.providers}
    usable = {
        name: provider
        for name, provider in loaded.providers.items()
        if (provider.wire == PLUGIN_WIRE) == (name in plugins)
    }
    return {**usable, **kept}
