"""Speaks Anthropic's Messages API, and that of everyone who copied it.

Written against version 2023-06-01 of the API: it is the one that stand-ins know, and the answers of the newer one are
the same. https://platform.claude.com/docs/en/api/messages, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError, ProviderProtocolError
from ....core.request import Call
from ....core.response import Event
from ..dialect import HttpRequest
from ..json_codec import read_json
from ..provider_errors import fault_inside
from .errors import fault_of_response
from .request import body_of
from .response_parser import Answer, object_of
from .stream_reader import ClaudeReader


class Claude:
    """The dialect as one server speaks it. `facts` finds what is known of a model by its id."""

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        facts: Callable[[str], Model | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._base_url = settings.base_url.rstrip("/").removesuffix("/v1")
        self._headers = {**settings.headers, "anthropic-version": settings.version}
        self._options = settings.options
        self._line_bytes = limits.line_bytes
        self._facts = facts
        self._now = now

    def encode(self, call: Call, key: str) -> HttpRequest:
        """The request for `call.target`."""
        accept = "text/event-stream" if call.is_upstream_streamed else "application/json"
        headers = {**self._headers_with(key), "accept": accept, "content-type": "application/json"}
        body = body_of(call, self._facts(call.target.model), self._options)
        return HttpRequest("POST", f"{self._base_url}/v1/messages", headers, body)

    def decode(self, body: bytes) -> list[Event]:
        """The events of a whole answer, the same that the streamed one would have had."""
        message = self._message(body)
        answer = Answer()
        for index, block in enumerate(message["content"]):
            answer.begin(index, block if isinstance(block, dict) else {})
            # A part that shows nothing is numbered when it is whole, so each is closed before the next.
            answer.close(index)
        answer.count(object_of(message, "usage"))
        answer.stop(message)
        answer.finish()
        return [*answer.drain(), answer.finished()]

    def reader(self) -> ClaudeReader:
        """A reader for one streamed answer."""
        return ClaudeReader(self._line_bytes)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a response that is not a success means."""
        return fault_of_response(status, headers, body, self._now())

    def probe(self, key: str) -> HttpRequest:
        """Its model list, which is free."""
        return HttpRequest("GET", f"{self._base_url}/v1/models?limit=1", self._headers_with(key))

    def _headers_with(self, key: str) -> dict[str, str]:
        # The API takes a bearer token too, its copies mostly do not.
        return {**self._headers, "x-api-key": key} if key else dict(self._headers)

    def _message(self, body: bytes) -> dict[str, Any]:
        try:
            message = read_json(body)
        except (ValueError, RecursionError) as error:
            raise ProviderProtocolError(f"The answer is not JSON, but {len(body)} bytes of something else.") from error
        if isinstance(message, dict) and (message.get("type") == "error" or "error" in message):
            raise fault_inside(message)
        if not isinstance(message, dict) or not isinstance(message.get("content"), list):
            raise ProviderProtocolError("The answer is JSON, but no message: it has no list of content blocks.")
        return message
