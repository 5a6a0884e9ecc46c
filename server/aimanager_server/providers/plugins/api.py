"""Define the interface of provider plug-ins, and check that an object implements it.

`aimanager_server.plugins` exports it together with the types that a plug-in needs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import httpx

from ...catalog.model import Capability, SupportLevel
from ...config.providers import ProviderSettings
from ...core.handler import AttemptHandler, Clock

API_VERSION = 1
"""The version of this interface. It is incremented only for incompatible changes."""

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Transport = httpx.AsyncBaseTransport
"""An httpx transport over a connection pool with the provider's settings. Redirects are not followed.

It sends HOPS_HEADER, so that a gateway notices that it calls itself. A plug-in with other connections sends
`attempt.hops` in this header, or in gRPC metadata of the same name in lower case.

A plug-in may let its exceptions out: they become the errors that any provider raises for a failed connection."""


class NativePlugin(Protocol):
    """A provider from a third-party package, registered as an entry point in the group `aimanager.providers`.

    Plug-ins run on an event loop in a separate thread: one that raises or blocks fails only its own calls.
    """

    @property
    def name(self) -> str:
        """The provider name in model names such as `acme/large`: 1 to 63 characters of a-z, 0-9, - and _."""
        ...

    @property
    def api_version(self) -> int:
        """The API_VERSION that the plug-in was written for."""
        ...

    def open(self, settings: ProviderSettings, transport: Transport, clock: Clock) -> AttemptHandler:
        """Return the handler of attempts. Called again after the event loop of an earlier handler was abandoned.

        `settings` is the section [providers.NAME], including keys; the key of a caller is in
        `attempt.caller.provider_keys`. `clock` is the clock of deadlines. The handler raises GatewayError; any other
        exception is reported as an internal error of the provider.
        """
        ...

    async def models(self) -> Sequence[str]:
        """Return the model ids. Must be free of charge, since it is also the health probe."""
        ...

    def capabilities(self, model: str) -> Mapping[Capability, SupportLevel]:
        """Return the known capabilities of a model. Requests that need an unlisted capability are attempted."""
        ...


def plugin_problems(plugin: object, name: str = "") -> Iterator[str]:
    """Yield what prevents an object from being a plug-in. A non-empty `name` is the one it must have."""
    actual = getattr(plugin, "name", None)
    if not isinstance(actual, str) or not NAME_PATTERN.fullmatch(actual):
        yield f"name must be 1 to 63 characters of a-z, 0-9, - and _, got {actual!r}"
    elif name and actual != name:
        yield f"name must be that of its entry point, {name!r}, got {actual!r}"
    version = getattr(plugin, "api_version", None)
    if version != API_VERSION:
        yield f"api_version must be {API_VERSION}, got {version!r}"
    for method in ("open", "models", "capabilities"):
        if not callable(getattr(plugin, method, None)):
            yield f"method {method}() is missing"
    yield from getattr(plugin, "problems", tuple)()
    models = getattr(plugin, "models", None)
    if callable(models) and not inspect.iscoroutinefunction(models):
        yield "method models() must be async"
