"""What a provider plug-in is: the interface that third parties write to, and how to tell whether they did."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import httpx

from ...catalog.model import Capability, Level
from ...config.providers import ProviderSettings
from ...core.handler import Clock, Handler

API_VERSION = 1
"""The version of this interface. It grows only with what old plug-ins would break on."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Transport = httpx.AsyncBaseTransport
"""How a plug-in reaches the network: connections that obey the settings, and send no redirect on."""


class ProviderPlugin(Protocol):
    """A provider that a package adds, under an entry point of the same name in the group `aimanager.providers`.

    All of it runs on an event loop in a thread of its own: one that raises or blocks loses its own calls only.
    """

    @property
    def name(self) -> str:
        """What callers put before the slash: 1 to 63 lower-case letters, digits, - and _."""
        ...

    @property
    def api_version(self) -> int:
        """The API_VERSION it was written for."""
        ...

    def open(self, settings: ProviderSettings, transport: Transport, clock: Clock) -> Handler:
        """The handler of its calls, made anew where one was given up.

        `settings` are those of [providers.NAME], keys included; a caller's own key is in `call.caller.provider_keys`.
        `clock` is the one that deadlines are on. Failures are Faults: anything else counts as a fault of the provider.
        """
        ...

    async def models(self) -> Sequence[str]:
        """The ids of its models. Free, since it also shows whether the provider is well."""
        ...

    def capabilities(self, model: str) -> Mapping[Capability, Level]:
        """What is known of a model; what is absent is not known, and asked for all the same."""
        ...


def defects(plugin: object, name: str = "") -> Iterator[str]:
    """What keeps an object from being a plug-in of that name; an empty name is not compared."""
    said = getattr(plugin, "name", None)
    if not isinstance(said, str) or not NAME.fullmatch(said):
        yield "its name is not 1 to 63 lower-case letters, digits, - and _"
    elif name and said != name:
        yield f"it calls itself {said!r}; accepted is the name of its entry point"
    version = getattr(plugin, "api_version", None)
    if version != API_VERSION:
        yield f"its api_version is {version!r}; this server speaks version {API_VERSION}"
    for method in ("open", "models", "capabilities"):
        if not callable(getattr(plugin, method, None)):
            yield f"it has no method {method}()"
    models = getattr(plugin, "models", None)
    if callable(models) and not inspect.iscoroutinefunction(models):
        yield "its method models() is not async"
