"""Reads a streamed answer of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ....core.usage import Usage
from ..json_codec import read_json
from ..sse import EventStream, ServerEvent
from .errors import fault_within
from .response_parser import Answer, Kind, object_of

DELTAS: Mapping[str, tuple[Kind, str]] = {
    "response.output_text.delta": ("output_text", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.function_call_arguments.delta": ("arguments", ""),
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.reasoning_text.delta": ("thought", "content_index"),
}
"""What each fragment is of, and the field that numbers its piece of the item."""

ENDS: Mapping[str, str] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""The events that prove an answer complete, and the status they stand for."""


UNSEEN = ("response.reasoning_summary_part.added", "response.reasoning_part.added")
"""Events that tell of reasoning, and nothing of what it is."""


class ResponsesReader:
    """One streamed answer. Events that are not known appear without notice and are passed over, as is `[DONE]`."""

    def __init__(self, line_bytes: int) -> None:
        self._stream = EventStream(line_bytes)
        self._answer = Answer()
        self._last: list[Event] = []

    @property
    def usage(self) -> Usage:
        """What was counted: it comes with the end, so a stream that was cut has none."""
        return self._answer.usage

    @property
    def is_ending(self) -> bool:
        """Never: the one event that ends an answer ends it whole."""
        return False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes completed; nothing once the answer has finished."""
        return [] if self._last else self._read(self._stream.feed(data))

    def end(self) -> list[Event]:
        """The last event may lack its blank line; the stream may not lack its end."""
        if self._last:
            return []
        try:
            events = self._read(self._stream.end())
        except _NotJson as error:
            raise ProviderProtocolError("The answer was cut inside an event of the stream.") from error
        if not self._last:
            raise ProviderProtocolError("The answer was cut: the stream ended without 'response.completed'.")
        return events

    def _read(self, received: list[ServerEvent]) -> list[Event]:
        for event in received:
            self._take(event)
            if self._last:
                return self._last
        return self._answer.drain()

    def _take(self, event: ServerEvent) -> None:
        data = event.data.strip()
        if not data or data.startswith(b"[DONE]"):
            return
        try:
            payload = read_json(data)
        except ValueError as error:
            raise _NotJson(f"The stream holds an event that is not JSON, of {len(data)} bytes.") from error
        if isinstance(payload, dict):
            self._act(str(payload.get("type") or event.event), payload)

    def _act(self, kind: str, payload: Mapping[str, Any]) -> None:
        if kind in DELTAS:
            self._extend(*DELTAS[kind], payload)
        elif kind == "response.output_item.added":
            item = object_of(payload, "item")
            self._answer.begin(self._answer.index_of(payload), item)
            if item.get("type") == "reasoning":
                self._answer.think()
        elif kind == "response.output_item.done":
            self._answer.close(self._answer.index_of(payload), object_of(payload, "item"))
        elif kind in UNSEEN:
            self._answer.think()
        elif kind in ENDS:
            self._last = self._answer.conclude(object_of(payload, "response"), ENDS[kind])
        elif kind == "error" or ("type" not in payload and payload.get("error")):
            raise fault_within(payload)

    def _extend(self, kind: Kind, numbered_by: str, payload: Mapping[str, Any]) -> None:
        fragment, piece = payload.get("delta"), payload.get(numbered_by)
        if isinstance(fragment, str):
            index = self._answer.index_of(payload)
            self._answer.extend(index, kind, piece if isinstance(piece, int) else 0, fragment)
            if not fragment and kind in ("summary", "thought"):
                self._answer.think()


class _NotJson(ProviderProtocolError):
    """Told apart from other faults of the stream, because a cut makes one too."""
