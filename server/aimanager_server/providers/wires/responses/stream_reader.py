"""Read a streamed response of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ....core.usage import Usage
from ..json_codec import InvalidEventJson, decode_event, object_field
from ..sse import ServerSentEvent, SseDecoder
from .errors import error_in_payload
from .response_parser import FragmentKind, ResponsesParser

DELTA_EVENTS: Mapping[str, tuple[FragmentKind, str]] = {
    "response.output_text.delta": ("output_text", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.function_call_arguments.delta": ("arguments", ""),
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.reasoning_text.delta": ("reasoning_text", "content_index"),
}
"""The fragment kind of each delta event, and the field with the index of the piece within its item."""

TERMINAL_EVENTS: Mapping[str, str] = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""The events that complete a response, and the status they imply."""

REASONING_PART_EVENTS = ("response.reasoning_summary_part.added", "response.reasoning_part.added")
"""Events that show that the model is reasoning, without visible content."""


class ResponsesStreamReader:
    """Read one streamed response. Unknown events are ignored, because the API adds them without notice."""

    def __init__(self, max_line_bytes: int) -> None:
        self._decoder = SseDecoder(max_line_bytes)
        self._parser = ResponsesParser()
        self._final_events: list[Event] = []

    @property
    def usage(self) -> Usage:
        """The usage, which arrives with the last event: an interrupted stream has none."""
        return self._parser.usage

    @property
    def is_content_complete(self) -> bool:
        """Always False: the event that completes the content also ends the response."""
        return False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events completed by `data`; none after the response has finished."""
        return [] if self._final_events else self._read(self._decoder.feed(data))

    def end(self) -> list[Event]:
        """Return the last events. The last blank line may be missing, `response.completed` may not."""
        if self._final_events:
            return []
        try:
            events = self._read(self._decoder.end())
        except InvalidEventJson as error:
            raise ProviderProtocolError("The stream ended inside an event.") from error
        if not self._final_events:
            raise ProviderProtocolError("The stream ended without 'response.completed'.")
        return events

    def _read(self, received: list[ServerSentEvent]) -> list[Event]:
        for event in received:
            self._add(event)
            if self._final_events:
                return self._final_events
        return self._parser.drain()

    def _add(self, event: ServerSentEvent) -> None:
        data = event.data.strip()
        if not data or data.startswith(b"[DONE]"):
            return
        payload = decode_event(data)
        if isinstance(payload, dict):
            self._dispatch(str(payload.get("type") or event.event), payload)

    def _dispatch(self, kind: str, payload: Mapping[str, Any]) -> None:
        if kind in DELTA_EVENTS:
            self._add_delta(*DELTA_EVENTS[kind], payload)
        elif kind == "response.output_item.added":
            item = object_field(payload, "item")
            self._parser.start_item(self._parser.item_index(payload), item)
            if item.get("type") == "reasoning":
                self._parser.add_reasoning_progress()
        elif kind == "response.output_item.done":
            self._parser.close_item(self._parser.item_index(payload), object_field(payload, "item"))
        elif kind in REASONING_PART_EVENTS:
            self._parser.add_reasoning_progress()
        elif kind in TERMINAL_EVENTS:
            self._final_events = self._parser.finish(object_field(payload, "response"), TERMINAL_EVENTS[kind])
        elif kind == "error" or ("type" not in payload and payload.get("error")):
            raise error_in_payload(payload)

    def _add_delta(self, kind: FragmentKind, index_field: str, payload: Mapping[str, Any]) -> None:
        fragment, piece = payload.get("delta"), payload.get(index_field)
        if isinstance(fragment, str):
            index = self._parser.item_index(payload)
            self._parser.add_delta(index, kind, piece if isinstance(piece, int) else 0, fragment)
            if not fragment and kind in ("summary", "reasoning_text"):
                self._parser.add_reasoning_progress()
