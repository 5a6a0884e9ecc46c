"""Encode and decode Anthropic's Messages API and the servers compatible with it.

Written against API version 2023-06-01, the one that compatible servers support; the newer version returns the same
responses. https://platform.claude.com/docs/en/api/messages, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.compaction import CompactedPrompt
from ....core.errors import GatewayError
from ....core.request import Attempt
from ....core.response import Event
from ..json_codec import decode_object_body, object_field
from ..provider_errors import error_in_success
from ..setting_changes import SettingChanges
from ..wire import HttpRequest
from .compaction import compaction_block, compaction_body, decode_compaction, with_beta
from .errors import error_from_response
from .request import encode_body
from .response_parser import AnthropicParser
from .stream_reader import AnthropicStreamReader


class AnthropicWire:
    """The Messages API of one server. `find_model` returns the catalog entry of a model id, None if unknown."""

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        find_model: Callable[[str], Model | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._marks_prompt = settings.prompt_cache
        self._base_url = settings.base_url.rstrip("/").removesuffix("/v1")
        self._headers = {**settings.headers, "anthropic-version": settings.api_version}
        self._options = settings.options
        self._max_line_bytes = limits.max_line_bytes
        self._find_model = find_model
        self._now = now

    def encode(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request for `call.target`."""
        accept = "text/event-stream" if attempt.is_streamed else "application/json"
        headers = {**self._authorized_headers(key), "accept": accept, "content-type": "application/json"}
        changes = SettingChanges(attempt.target)
        compacted = compaction_block(attempt, key, self._options)
        if compacted is not None:
            headers, attempt = with_beta(headers), replace(attempt, messages=attempt.messages[1:])
        model = self._find_model(attempt.target.model)
        body = encode_body(attempt, model, self._options, changes, compacted, marks_prompt=self._marks_prompt)
        return HttpRequest("POST", f"{self._base_url}/v1/messages", headers, body, tuple(changes.warnings))

    def can_compact(self, model: str) -> bool:
        """Return whether the catalog lists the model among those that compact prompts."""
        found = self._find_model(model)
        return found is not None and found.native_compaction

    def encode_compaction(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request that compacts the messages of an unstreamed attempt."""
        request = self.encode(attempt, key)
        return HttpRequest("POST", request.url, with_beta(request.headers), compaction_body(request.body))

    def decode_compaction(self, body: bytes) -> CompactedPrompt:
        """Return the compacted prompt. Raises ProviderProtocolError."""
        return decode_compaction(_message_in(body))

    def decode(self, body: bytes) -> list[Event]:
        """Return the events of an unstreamed response, with the same parts as the streamed one."""
        message = _message_in(body)
        parser = AnthropicParser()
        parser.add_blocks(message.get("content"))
        parser.update_usage(object_field(message, "usage"))
        parser.set_stop_reason(message)
        return parser.finish()

    def stream_reader(self) -> AnthropicStreamReader:
        """Return a reader for one streamed response."""
        return AnthropicStreamReader(self._max_line_bytes, self.decode)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Return the error for an unsuccessful response."""
        return error_from_response(status, headers, body, self._now())

    def probe_request(self, key: str) -> HttpRequest:
        """Return a request for the model list, which is free."""
        return HttpRequest("GET", f"{self._base_url}/v1/models?limit=1", self._authorized_headers(key))

    def _authorized_headers(self, key: str) -> dict[str, str]:
        # Most compatible servers accept x-api-key only, Anthropic also a bearer token.
        return {**self._headers, "x-api-key": key} if key else dict(self._headers)


def _message_in(body: bytes) -> Mapping[str, Any]:
    message = decode_object_body(body)
    if message.get("type") == "error" or "error" in message:
        raise error_in_success(message)
    return message
