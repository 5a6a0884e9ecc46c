"""Read a streamed response of the Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ....core.usage import Usage
from ..json_codec import InvalidEventJson, decode_event, object_field
from ..provider_errors import error_in_success
from ..sse import ServerSentEvent, SseDecoder
from .response_parser import AnthropicParser

REASONING_BLOCKS = ("thinking", "redacted_thinking")
"""Block types that contain reasoning, visible or not."""


class AnthropicStreamReader:
    """Read one streamed response. Only `message_stop` proves it complete."""

    def __init__(self, max_line_bytes: int) -> None:
        self._decoder = SseDecoder(max_line_bytes)
        self._parser = AnthropicParser()
        self._finished = False

    @property
    def usage(self) -> Usage:
        """The usage reported so far."""
        return self._parser.usage

    @property
    def is_content_complete(self) -> bool:
        """Always False: only `message_stop` proves the content complete, and it ends the stream."""
        return False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events completed by `data`; none after the response has finished."""
        return [] if self._finished else self._read(self._decoder.feed(data))

    def end(self) -> list[Event]:
        """Return the last events. The last blank line may be missing, `message_stop` may not."""
        if self._finished:
            return []
        try:
            events = self._read(self._decoder.end())
        except InvalidEventJson as error:
            raise ProviderProtocolError("The stream ended inside an event.") from error
        if not self._finished:
            raise ProviderProtocolError("The stream ended without 'message_stop'.")
        return events

    def _read(self, received: list[ServerSentEvent]) -> list[Event]:
        for event in received:
            self._add(event)
            if self._finished:
                return [*self._parser.drain(), self._parser.finished_event()]
        return self._parser.drain()

    def _add(self, event: ServerSentEvent) -> None:
        data = event.data.strip()
        # Some servers send the [DONE] of chat completions, or pings without a body.
        if event.event == "ping" or not data or data.startswith(b"[DONE]"):
            return
        payload = _payload(data)
        self._dispatch(str(payload.get("type") or event.event), payload)

    def _dispatch(self, kind: str, payload: Mapping[str, Any]) -> None:
        match kind:
            case "content_block_delta":
                delta = object_field(payload, "delta")
                self._parser.add_delta(_index(payload), delta)
                self._report_hidden_reasoning(delta.get("type") == "thinking_delta", delta)
            case "content_block_start":
                block = object_field(payload, "content_block")
                self._parser.start_block(_index(payload), block)
                self._report_hidden_reasoning(block.get("type") in REASONING_BLOCKS, block)
            case "content_block_stop":
                self._parser.close_block(_index(payload))
            case "message_start":
                self._parser.update_usage(object_field(object_field(payload, "message"), "usage"))
            case "message_delta":
                self._parser.set_stop_reason(object_field(payload, "delta"))
                self._parser.update_usage(object_field(payload, "usage"))
            case "message_stop":
                self._parser.finish()
                self._finished = True
            case "error":
                raise error_in_success(payload)

    def _report_hidden_reasoning(self, is_reasoning: bool, content: Mapping[str, Any]) -> None:
        if is_reasoning and not content.get("thinking"):
            self._parser.add_reasoning_progress()


def _index(payload: Mapping[str, Any]) -> int:
    index = payload.get("index")
    return index if isinstance(index, int) else -1


def _payload(data: bytes) -> Mapping[str, Any]:
    payload = decode_event(data)
    if not isinstance(payload, dict):
        raise ProviderProtocolError(f"A stream event must be a JSON object, got {type(payload).__name__!r}.")
    return payload
