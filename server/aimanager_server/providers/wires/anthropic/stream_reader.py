"""Reads a streamed answer of the Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ....core.usage import Usage
from ..json_codec import read_json
from ..provider_errors import fault_inside
from ..sse import EventStream, ServerEvent
from .response_parser import Answer, object_of

THOUGHTS = ("thinking", "redacted_thinking")
"""Blocks of reasoning. Whether one of them will show something is not known when it opens."""


class ClaudeReader:
    """One streamed answer; `message_stop` is its only proof of completeness."""

    def __init__(self, line_bytes: int) -> None:
        self._stream = EventStream(line_bytes)
        self._answer = Answer()
        self._finished = False

    @property
    def usage(self) -> Usage:
        """What was counted so far."""
        return self._answer.usage

    @property
    def is_ending(self) -> bool:
        """Never: what is said before `message_stop` proves nothing, and nothing follows it."""
        return False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes completed; nothing once the answer has finished."""
        return [] if self._finished else self._read(self._stream.feed(data))

    def end(self) -> list[Event]:
        """The last event may lack its blank line; the stream may not lack its end."""
        events = [] if self._finished else self._read(self._stream.end())
        if not self._finished:
            raise ProviderProtocolError("The answer was cut: the stream ended without 'message_stop'.")
        return events

    def _read(self, received: list[ServerEvent]) -> list[Event]:
        for event in received:
            self._take(event)
            if self._finished:
                return [*self._answer.drain(), self._answer.finished()]
        return self._answer.drain()

    def _take(self, event: ServerEvent) -> None:
        data = event.data.strip()
        # Some servers of this wire end with the marker of another one, or send pings without a body.
        if event.event == "ping" or not data or data.startswith(b"[DONE]"):
            return
        payload = _payload(data)
        self._act(str(payload.get("type") or event.event), payload)

    def _act(self, kind: str, payload: Mapping[str, Any]) -> None:
        match kind:
            case "content_block_delta":
                delta = object_of(payload, "delta")
                self._answer.extend(_index(payload), delta)
                self._note(delta.get("type") == "thinking_delta", delta)
            case "content_block_start":
                block = object_of(payload, "content_block")
                self._answer.begin(_index(payload), block)
                self._note(block.get("type") in THOUGHTS, block)
            case "content_block_stop":
                self._answer.close(_index(payload))
            case "message_start":
                self._answer.count(object_of(object_of(payload, "message"), "usage"))
            case "message_delta":
                self._answer.stop(object_of(payload, "delta"))
                self._answer.count(object_of(payload, "usage"))
            case "message_stop":
                self._answer.finish()
                self._finished = True
            case "error":
                raise fault_inside(payload)

    def _note(self, is_thought: bool, said: Mapping[str, Any]) -> None:
        """Take note where a piece of thinking shows nothing of it."""
        if is_thought and not said.get("thinking"):
            self._answer.think()


def _index(payload: Mapping[str, Any]) -> int:
    index = payload.get("index")
    return index if isinstance(index, int) else -1


def _payload(data: bytes) -> Mapping[str, Any]:
    try:
        payload = read_json(data)
    except (ValueError, RecursionError) as error:
        raise ProviderProtocolError(f"The stream holds an event that is not JSON, of {len(data)} bytes.") from error
    if not isinstance(payload, dict):
        raise ProviderProtocolError(
            f"The stream holds an event that is {type(payload).__name__!r} instead of an object."
        )
    return payload
