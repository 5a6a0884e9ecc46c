"""Encode and decode Google's generateContent API, the native API of the Gemini models.

https://ai.google.dev/api/generate-content, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError, ProviderProtocolError
from ....core.request import Attempt
from ....core.response import Event
from ..json_codec import decode_body, require_object
from ..setting_changes import SettingChanges
from ..wire import HttpRequest
from .errors import error_from_response
from .request import encode_body
from .response_parser import GeminiParser
from .stream_reader import GeminiStreamReader


class GeminiWire:
    """The generateContent API of one server. `find_model` returns the catalog entry of a model id, None if unknown."""

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        find_model: Callable[[str], Model | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._base_url = settings.base_url.rstrip("/")
        self._headers = dict(settings.headers)
        self._options = settings.options
        self._max_line_bytes = limits.max_line_bytes
        self._find_model = find_model
        self._now = now

    def encode(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request for `call.target`. The URL selects whether the response is streamed."""
        accept = "text/event-stream" if attempt.is_streamed else "application/json"
        headers = {**self._authorized_headers(key), "Accept": accept, "Content-Type": "application/json"}
        # The caller chooses the model name, so it is escaped: it must not lead to another URL.
        model = quote(attempt.target.model.removeprefix("models/"), safe="")
        method = "streamGenerateContent?alt=sse" if attempt.is_streamed else "generateContent"
        changes = SettingChanges(attempt.target)
        body = encode_body(attempt, self._find_model(attempt.target.model), self._options, changes)
        return HttpRequest("POST", f"{self._base_url}/models/{model}:{method}", headers, body, tuple(changes.warnings))

    def decode(self, body: bytes) -> list[Event]:
        """Return the events of an unstreamed response, or of the JSON list that a stream without SSE is."""
        value = decode_body(body)
        parser = GeminiParser()
        for response in value if isinstance(value, list) else [value]:
            parser.add(require_object(response), whole=True)
        if not parser.has_started:
            raise ProviderProtocolError("The response contains no candidate.")
        return parser.finish()

    def stream_reader(self) -> GeminiStreamReader:
        """Return a reader for one streamed response."""
        return GeminiStreamReader(self._max_line_bytes, self.decode)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Return the error for an unsuccessful response."""
        return error_from_response(status, headers, body, self._now())

    def probe_request(self, key: str) -> HttpRequest:
        """Return a request for the model list, which is free."""
        return HttpRequest("GET", f"{self._base_url}/models?pageSize=1", self._authorized_headers(key))

    def _authorized_headers(self, key: str) -> dict[str, str]:
        # The key goes into a header, because logs record URLs.
        return {**self._headers, "x-goog-api-key": key} if key else dict(self._headers)
