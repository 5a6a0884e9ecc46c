"""OpenAI's models on Azure: the chat-completions wire at an address of its own for each deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError
from ....core.request import Call
from ....core.response import Event
from ..dialect import HttpRequest, Reader
from . import ChatCompletions
from .vendors import quirks_of


class Azure:
    """The dialect of one Azure resource. A model is named as it was deployed; `version` is the api-version.

    https://learn.microsoft.com/azure/ai-services/openai/reference, read 2026-11-22.
    """

    def __init__(self, settings: ProviderSettings, limits: Limits) -> None:
        self._wire = ChatCompletions(settings, limits, quirks_of)
        self._place = f"{settings.base_url.rstrip('/').removesuffix('/openai')}/openai"
        self._query = f"api-version={quote(settings.version, safe='')}"

    def encode(self, call: Call, key: str) -> HttpRequest:
        """The request to the deployment that `call.target` names."""
        deployment = quote(call.target.model, safe="")
        url = f"{self._place}/deployments/{deployment}/chat/completions?{self._query}"
        return _keyed(replace(self._wire.encode(call, ""), url=url), key)

    def decode(self, body: bytes) -> list[Event]:
        """The events of a whole answer."""
        return self._wire.decode(body)

    def reader(self) -> Reader:
        """A reader for one streamed answer."""
        return self._wire.reader()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a refusal means."""
        return self._wire.error(status, headers, body)

    def probe(self, key: str) -> HttpRequest:
        """The model list of the resource."""
        return _keyed(replace(self._wire.probe(""), url=f"{self._place}/models?{self._query}"), key)


def _keyed(request: HttpRequest, key: str) -> HttpRequest:
    return replace(request, headers={**request.headers, "api-key": key}) if key else request
