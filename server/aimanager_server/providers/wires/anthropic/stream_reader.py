"""Read a streamed response of the Messages API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ..json_codec import decode_event, object_field
from ..provider_errors import error_in_success
from ..sse import ServerSentEvent
from ..stream_reader import EventStreamReader
from .response_parser import AnthropicParser

REASONING_BLOCKS = ("thinking", "redacted_thinking")
"""Block types that contain reasoning, visible or not."""


class AnthropicStreamReader(EventStreamReader):
    """Read one streamed response. Only `message_stop` proves it complete."""

    __slots__ = ("_parser",)

    terminal = "'message_stop'"

    def __init__(self, max_event_bytes: int, decode_body: Callable[[bytes], list[Event]]) -> None:
        super().__init__(max_event_bytes, decode_body)
        self._parser = AnthropicParser()

    @property
    def parser(self) -> AnthropicParser:
        """The parser that collects the response."""
        return self._parser

    def read_event(self, event: ServerSentEvent) -> bool:
        """Read one event. Returns whether it is `message_stop`."""
        data = event.data.strip()
        # Some servers send the [DONE] of chat completions, or pings without a body.
        if event.event == "ping" or not data or data.startswith(b"[DONE]"):
            return False
        payload = _payload(data)
        kind = str(payload.get("type") or event.event)
        self._dispatch(kind, payload)
        return kind == "message_stop"

    def _dispatch(self, kind: str, payload: Mapping[str, Any]) -> None:
        match kind:
            case "content_block_delta":
                self._parser.add_delta(_index(payload), _object(payload, "delta"))
            case "content_block_start":
                block = _object(payload, "content_block")
                self._parser.start_block(_index(payload), block)
                if block.get("type") in REASONING_BLOCKS and not block.get("thinking"):
                    self._parser.add_reasoning_progress()
            case "content_block_stop":
                self._parser.close_block(_index(payload))
            case "message_start":
                self._parser.start_message(object_field(payload, "message"))
            case "message_delta":
                self._parser.add_message_delta(payload)
            case "message_stop":
                self._parser.end_message()
            case "error":
                raise error_in_success(payload)


def _index(payload: Mapping[str, Any]) -> int | None:
    """Return the index of a block; None if the event has none. Raises ProviderProtocolError for any other value."""
    index = payload.get("index")
    if index is None or (isinstance(index, int) and index >= 0):
        return index
    shown = index if isinstance(index, int) else type(index).__name__
    raise ProviderProtocolError(f"The index of a content block must be a number from 0, got {shown!r}.")


def _object(payload: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return an object of an event; empty if it is missing. Raises ProviderProtocolError for another type."""
    value = payload.get(field)
    if value is None or isinstance(value, dict):
        return value or {}
    raise ProviderProtocolError(f"The {field} of an event must be an object, got {type(value).__name__!r}.")


def _payload(data: bytes) -> Mapping[str, Any]:
    payload = decode_event(data)
    if not isinstance(payload, dict):
        raise ProviderProtocolError(f"A stream event must be a JSON object, got {type(payload).__name__!r}.")
    return payload
