"""How each provider is asked: one HTTP provider, and one dialect a wire.

Imports wait until a provider is opened, so that naming a part of this package loads no HTTP client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ..handler import Provider
    from ..model import Model
    from ..settings import Limits
    from ..settings_provider import ProviderSettings
    from .dialect import Dialect

    Facts = Callable[[str], Model | None]
    Factory = Callable[[str, ProviderSettings, Limits, Facts], Provider]
    DialectFactory = Callable[[ProviderSettings, Limits], Dialect]


def unknown(model: str) -> None:
    """The facts of one who knows no model."""


def open_provider(name: str, settings: ProviderSettings, limits: Limits, facts: Facts = unknown) -> Provider:
    """The provider of this name; one that is not built in speaks the wire its settings name.

    `facts` finds what is known of one of its models. No connection is made yet. Raises OSError or ssl.SSLError where
    its `ca_file` cannot be used.
    """
    factory = BUILTIN.get(name) or BUILTIN[settings.wire]
    return factory(name, settings, limits, facts)


def over_http(name: str, settings: ProviderSettings, limits: Limits, dialect: DialectFactory) -> Provider:
    """A provider that speaks this dialect over a connection pool of its own."""
    from .http import HttpProvider
    from .keys import KeyRing
    from .pool import AiohttpTransport

    transport = AiohttpTransport(
        name,
        max_connections=settings.max_connections,
        idle_connections=settings.idle_connections,
        connect_timeout=settings.connect_timeout_seconds,
        ca_file=settings.ca_file,
        proxy=_proxy(settings.base_url) if settings.use_proxy else None,
    )
    return HttpProvider(
        name,
        dialect(settings, limits),
        transport,
        KeyRing(settings.credentials(), time.monotonic),
        limits,
        key_variable=settings.key_variable,
        secrets=tuple(settings.headers.values()),
        user_agent=f"aimanager/{_version()}",
    )


def _claude(name: str, settings: ProviderSettings, limits: Limits, facts: Facts) -> Provider:
    from .claude import Claude

    return over_http(name, settings, limits, lambda settings, limits: Claude(settings, limits, facts))


def _openai(name: str, settings: ProviderSettings, limits: Limits, facts: Facts) -> Provider:
    from .openai import openai

    return over_http(name, settings, limits, openai)


def _deepseek(name: str, settings: ProviderSettings, limits: Limits, facts: Facts) -> Provider:
    from .deepseek import deepseek

    return over_http(name, settings, limits, deepseek)


def _chat_completions(name: str, settings: ProviderSettings, limits: Limits, facts: Facts) -> Provider:
    from .chat_completions import chat_completions

    return over_http(name, settings, limits, chat_completions)


def _mock(name: str, settings: ProviderSettings, limits: Limits, facts: Facts) -> Provider:
    from .mock import Mock

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
        "openai": _openai,
        "deepseek": _deepseek,
        "mock": _mock,
        "chat_completions": _chat_completions,
    }
)
"""The providers that come with the server, and the wires an operator can name for another."""
