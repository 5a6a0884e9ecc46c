"""Read a streamed response of the Responses API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ..json_codec import decode_event, object_field
from ..sse import ServerSentEvent
from ..stream_reader import EventStreamReader
from .errors import error_in_payload
from .output_items import FragmentKind
from .response_parser import ResponsesParser
from .sequence_numbers import RepeatedEvents

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


class ResponsesStreamReader(EventStreamReader):
    """Read one streamed response. Unknown events are ignored, because the API adds them without notice."""

    __slots__ = ("_parser", "_repeated")

    terminal = "'response.completed'"

    def __init__(self, max_event_bytes: int, decode_body: Callable[[bytes], list[Event]]) -> None:
        super().__init__(max_event_bytes, decode_body)
        self._parser = ResponsesParser()
        self._repeated = RepeatedEvents()

    @property
    def parser(self) -> ResponsesParser:
        """The parser that collects the response. The usage arrives with the terminal event."""
        return self._parser

    def read_event(self, event: ServerSentEvent) -> bool:
        """Read one event. Returns whether it is one of TERMINAL_EVENTS."""
        data = event.data.strip()
        if not data or data.startswith(b"[DONE]"):
            return False
        payload = decode_event(data)
        for each in payload if isinstance(payload, list) else (payload,):
            if isinstance(each, dict) and not self._repeated.add(each.get("sequence_number"), data):
                kind = str(each.get("type") or event.event)
                self._dispatch(kind, each)
                if kind in TERMINAL_EVENTS:
                    return True
        return False

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
            self._parser.set_response(object_field(payload, "response"), TERMINAL_EVENTS[kind])
        elif kind == "response.created" and self._parser.has_items:
            raise ProviderProtocolError("The stream started again after its first items.")
        elif kind == "error" or ("type" not in payload and payload.get("error")):
            raise error_in_payload(payload)

    def _add_delta(self, kind: FragmentKind, index_field: str, payload: Mapping[str, Any]) -> None:
        fragment, position = payload.get("delta"), payload.get(index_field)
        if fragment is None:
            return
        if not isinstance(fragment, str):
            raise ProviderProtocolError(f"The delta of an event must be a string, got {type(fragment).__name__!r}.")
        index = self._parser.item_index(payload)
        self._parser.add_delta(index, kind, position if isinstance(position, int) else 0, fragment)
