"""How each provider is asked: one HTTP provider, and one dialect a wire.

Imports wait until a provider is opened, so that naming a part of this package loads no HTTP client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ..catalog.model import Model
    from ..config.providers import ProviderSettings
    from ..config.settings import Limits
    from ..core.handler import Provider
    from ..resilience.key_pool import KeyRing
    from .http.pool import AiohttpTransport
    from .wires.dialect import Dialect

    Facts = Callable[[str], Model | None]
    Factory = Callable[[str, ProviderSettings, Limits, KeyRing, Facts], Provider]
    DialectFactory = Callable[[ProviderSettings, Limits], Dialect]


def unknown(model: str) -> None:
    """The facts of one who knows no model."""


def open_provider(
    name: str, settings: ProviderSettings, limits: Limits, facts: Facts = unknown, ring: KeyRing | None = None
) -> Provider:
    """The provider of this name, on the wire its settings name; of the chat-completions wire several know a variant.

    `facts` finds what is known of one of its models. `ring` holds the keys of the settings, where others use them too.
    No connection is made yet. Raises OSError or ssl.SSLError where its `ca_file` cannot be used.
    """
    variant = VARIANTS.get(name) if settings.wire == "chat_completions" else None
    factory = variant or BUILTIN[settings.wire]
    return factory(name, settings, limits, ring_of(settings) if ring is None else ring, facts)


def ring_of(settings: ProviderSettings) -> KeyRing:
    """The keys of one provider."""
    from ..resilience.key_pool import KeyRing

    secrets = [(credential.key, credential.weight) for credential in settings.credentials()]
    return KeyRing(secrets, time.monotonic, settings.key_spread)


def over_http(
    name: str,
    settings: ProviderSettings,
    limits: Limits,
    ring: KeyRing,
    dialect: DialectFactory,
    dialect_for: Callable[[str], Dialect] | None = None,
) -> Provider:
    """A provider that speaks this dialect, or the one for each model, over a connection pool of its own."""
    from .http.provider import HttpProvider

    return HttpProvider(
        name,
        dialect(settings, limits),
        open_transport(name, settings),
        ring,
        limits,
        dialect_for=dialect_for,
        key_variable=settings.key_variable,
        secrets=tuple(settings.headers.values()),
        user_agent=f"aimanager/{_version()}",
    )


def open_transport(name: str, settings: ProviderSettings) -> AiohttpTransport:
    """A connection pool as the settings want it. No connection is made yet."""
    from .http.pool import AiohttpTransport

    return AiohttpTransport(
        name,
        max_connections=settings.max_connections,
        idle_connections=settings.idle_connections,
        connect_timeout=settings.connect_timeout_seconds,
        ca_file=settings.ca_file,
        proxy=_proxy(settings.base_url) if settings.use_proxy else None,
    )


def _claude(name: str, settings: ProviderSettings, limits: Limits, ring: KeyRing, facts: Facts) -> Provider:
    from .wires.anthropic import Claude

    return over_http(name, settings, limits, ring, lambda settings, limits: Claude(settings, limits, facts))


def _responses(name: str, settings: ProviderSettings, limits: Limits, ring: KeyRing, facts: Facts) -> Provider:
    """Whoever speaks this wire speaks the older one too, which some models are better asked in."""
    from .wires.chat_completions.vendors import openai
    from .wires.responses import Responses

    newer, older = Responses(settings, limits, facts), openai(settings, limits)

    def dialect_for(model_id: str) -> Dialect:
        model = facts(model_id)
        return older if model is not None and model.wire == "chat_completions" else newer

    return over_http(name, settings, limits, ring, lambda settings, limits: newer, dialect_for)


def _gemini(name: str, settings: ProviderSettings, limits: Limits, ring: KeyRing, facts: Facts) -> Provider:
    from .wires.gemini import Gemini

    return over_http(name, settings, limits, ring, lambda settings, limits: Gemini(settings, limits, facts))


def _variant(module: str, dialect: str) -> Factory:
    """A server that speaks a wire in its own way, which a file of this package says."""

    def open_variant(name: str, settings: ProviderSettings, limits: Limits, ring: KeyRing, facts: Facts) -> Provider:
        spoken: DialectFactory = getattr(import_module(f".{module}", __name__), dialect)
        return over_http(name, settings, limits, ring, spoken)

    return open_variant


def _chat_completions(name: str, settings: ProviderSettings, limits: Limits, ring: KeyRing, facts: Facts) -> Provider:
    from .wires.chat_completions import chat_completions

    return over_http(name, settings, limits, ring, chat_completions)


def _mock(name: str, settings: ProviderSettings, limits: Limits, ring: KeyRing, facts: Facts) -> Provider:
    from .mock.provider import Mock

    return Mock(settings.options, lambda: asyncio.get_running_loop().time(), asyncio.sleep)


def _proxy(base_url: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    url = urlsplit(base_url)
    return None if proxy_bypass(url.netloc) else getproxies().get(url.scheme)


def _version() -> str:
    try:
        return version("aimanager")
    except PackageNotFoundError:
        return "0"


BUILTIN: Mapping[str, Factory] = MappingProxyType(
    {
        "claude": _claude,
        "gemini": _gemini,
        "mock": _mock,
        "chat_completions": _chat_completions,
        "responses": _responses,
    }
)
"""The wires, by the name an operator gives them."""

VARIANTS: Mapping[str, Factory] = MappingProxyType(
    {
        "openai": _variant("openai", "openai"),
        "deepseek": _variant("deepseek", "deepseek"),
        "mistral": _variant("mistral", "mistral"),
        "xai": _variant("xai", "xai"),
        "groq": _variant("groq", "groq"),
        "azure": _variant("azure", "Azure"),
    }
)
"""The providers that speak the chat-completions wire in a way of their own."""
