"""Encode and decode OpenAI's chat-completions API, which most other servers implement as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError, ProviderProtocolError
from ....core.request import Attempt
from ....core.response import Event
from ..cache_keys import PromptCacheKeys
from ..json_codec import decode_body, require_object
from ..provider_errors import build_error, parse_error_body
from ..setting_changes import SettingChanges
from ..wire import HttpRequest
from .quirks import Quirks
from .request import encode_body
from .response_parser import ChatCompletionsParser
from .stream_reader import ChatCompletionsStreamReader


class ChatCompletionsWire:
    """The chat-completions wire of one server. `find_quirks` returns the quirks of a model.

    `find_model` returns the catalog entry of a model id, None if unknown.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        find_quirks: Callable[[str], Quirks],
        find_model: Callable[[str], Model | None] = lambda model: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = settings.base_url.rstrip("/")
        self._headers = dict(settings.headers)
        self._options = settings.options
        self._max_line_bytes = limits.max_line_bytes
        self._find_quirks = find_quirks
        self._find_model = find_model
        self._cache_keys = PromptCacheKeys(settings) if settings.prompt_cache else None
        self._now = now

    def encode(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request for `call.target`. Raises CapabilityUnsupported for an unsupported attachment."""
        headers = self._authorized_headers(key)
        headers["Content-Type"] = "application/json"
        headers["Accept"] = "text/event-stream" if attempt.is_streamed else "application/json"
        changes, model = SettingChanges(attempt.target), self._find_model(attempt.target.model)
        if self._cache_keys is not None and model is not None and model.prompt_cache is not None:
            headers = {**self._cache_keys.headers(attempt, model.prompt_cache), **headers}
        quirks = self._find_quirks(attempt.target.model)
        body = encode_body(attempt, quirks, self._options, changes, model, self._cache_keys)
        return HttpRequest("POST", f"{self._url}/chat/completions", headers, body, tuple(changes.warnings))

    def decode(self, body: bytes) -> list[Event]:
        """Return the events of an unstreamed response. DeepSeek sends blank lines before it while queued."""
        value = decode_body(body)
        parser = ChatCompletionsParser()
        # Some servers send a list of one object.
        parser.add(require_object(value[0] if isinstance(value, list) and value else value), "message")
        if not parser.has_started:
            raise ProviderProtocolError("The response contains no choice.")
        return parser.finish()

    def stream_reader(self) -> ChatCompletionsStreamReader:
        """Return a reader for one streamed response."""
        return ChatCompletionsStreamReader(self._max_line_bytes, self.decode)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Return the error for an unsuccessful response."""
        return build_error(status, headers, parse_error_body(body), self._now())

    def probe_request(self, key: str) -> HttpRequest:
        """Return a request for the model list."""
        return HttpRequest("GET", f"{self._url}/models", self._authorized_headers(key))

    def _authorized_headers(self, key: str) -> dict[str, str]:
        return {**self._headers, "Authorization": f"Bearer {key}"} if key else dict(self._headers)
