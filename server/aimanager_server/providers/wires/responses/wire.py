"""Encode and decode OpenAI's Responses API, the only wire on which its newer models combine reasoning and tools.

Responses are not stored at the provider: each call carries the whole conversation, including encrypted reasoning.
https://developers.openai.com/api/docs/api-reference/responses, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.compaction import CompactedPrompt
from ....core.errors import GatewayError, ProviderProtocolError
from ....core.request import Attempt
from ....core.response import Event
from ....core.usage import Usage
from ..cache_keys import PromptCacheKeys
from ..json_codec import decode_object_body
from ..setting_changes import SettingChanges
from ..wire import HttpRequest
from .compaction import REQUEST_FIELDS, encode_compaction
from .errors import error_from_response, error_from_status
from .request import encode_body
from .response_parser import ResponsesParser
from .stream_reader import ResponsesStreamReader
from .usage import parse_usage


class ResponsesWire:
    """The Responses API of one server. `find_model` returns the catalog entry of a model id, None if unknown."""

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        find_model: Callable[[str], Model | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = settings.base_url.rstrip("/")
        self._headers = dict(settings.headers)
        self._options = settings.options
        self._cache_keys = PromptCacheKeys(settings) if settings.prompt_cache else None
        self._max_line_bytes = limits.max_line_bytes
        self._find_model = find_model
        self._now = now

    def encode(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request for `call.target`. Raises CapabilityUnsupported for an unsupported attachment."""
        headers = self._authorized_headers(key)
        headers["Content-Type"] = "application/json"
        headers["Accept"] = "text/event-stream" if attempt.is_streamed else "application/json"
        changes = SettingChanges(attempt.target)
        model = self._find_model(attempt.target.model)
        body = encode_body(attempt, model, self._options, changes, key, self._cache_keys)
        return HttpRequest("POST", f"{self._url}/responses", headers, body, tuple(changes.warnings))

    def can_compact(self, model: str) -> bool:
        """Return True: every model that is used over this API."""
        return True

    def encode_compaction(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request that compacts the messages of an unstreamed attempt."""
        request = self.encode(attempt, key)
        body = {field: value for field, value in from_json(request.body).items() if field in REQUEST_FIELDS}
        return HttpRequest("POST", f"{request.url}/compact", request.headers, to_json(body))

    def decode_compaction(self, body: bytes) -> CompactedPrompt:
        """Return the compacted prompt. Raises ProviderProtocolError."""
        response = decode_object_body(body)
        usage = parse_usage(response.get("usage")) or Usage()
        return CompactedPrompt(encode_compaction(response.get("output"), usage), usage)

    def decode(self, body: bytes) -> list[Event]:
        """Return the events of an unstreamed response, with the same parts as the streamed one."""
        parser = ResponsesParser()
        parser.set_response(_response_in(body), "completed")
        return parser.finish()

    def stream_reader(self) -> ResponsesStreamReader:
        """Return a reader for one streamed response."""
        return ResponsesStreamReader(self._max_line_bytes, self.decode)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Return the error for an unsuccessful response."""
        return error_from_response(status, headers, body, self._now())

    def probe_request(self, key: str) -> HttpRequest:
        """Return a request for the model list."""
        return HttpRequest("GET", f"{self._url}/models", self._authorized_headers(key))

    def _authorized_headers(self, key: str) -> dict[str, str]:
        return {**self._headers, "Authorization": f"Bearer {key}"} if key else dict(self._headers)


def _response_in(body: bytes) -> Mapping[str, Any]:
    response = decode_object_body(body)
    has_output = isinstance(response.get("output"), list)
    if not has_output and error_from_status(response, str(response.get("status", ""))) is None:
        raise ProviderProtocolError("The response has no list of output items.")
    return response
