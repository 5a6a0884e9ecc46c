"""Encode and decode Azure OpenAI: the chat-completions wire with one URL per deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError
from ....core.request import Attempt
from ....core.response import Event
from ..wire import HttpRequest, StreamReader
from .vendors import openai_quirks
from .wire import ChatCompletionsWire


class AzureWire:
    """The wire of one Azure OpenAI resource. The model name is the deployment name.

    https://learn.microsoft.com/azure/ai-services/openai/reference, read 2026-11-22.
    """

    def __init__(self, settings: ProviderSettings, limits: Limits) -> None:
        self._wire = ChatCompletionsWire(settings, limits, openai_quirks)
        self._base_url = f"{settings.base_url.rstrip('/').removesuffix('/openai')}/openai"
        self._query = f"api-version={quote(settings.api_version, safe='')}"

    def encode(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request to the deployment named by `call.target`."""
        deployment = quote(attempt.target.model, safe="")
        url = f"{self._base_url}/deployments/{deployment}/chat/completions?{self._query}"
        return _authorized(replace(self._wire.encode(attempt, ""), url=url), key)

    def decode(self, body: bytes) -> list[Event]:
        """Return the events of an unstreamed response."""
        return self._wire.decode(body)

    def stream_reader(self) -> StreamReader:
        """Return a reader for one streamed response."""
        return self._wire.stream_reader()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Return the error for an unsuccessful response."""
        return self._wire.error(status, headers, body)

    def probe_request(self, key: str) -> HttpRequest:
        """Return a request for the model list of the resource."""
        return _authorized(replace(self._wire.probe_request(""), url=f"{self._base_url}/models?{self._query}"), key)


def _authorized(request: HttpRequest, key: str) -> HttpRequest:
    return replace(request, headers={**request.headers, "api-key": key}) if key else request
