"""Parse a response of the Responses API, streamed or not, into the same events.

A response is a list of items. One code path reads a complete item and adds what no fragment has brought yet, so that
streams, unstreamed responses and servers that stream without fragments always agree.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....core.content import Reasoning, Text
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ....telemetry.redaction import redact
from ..json_codec import fragment_field, object_field, string_field
from ..part_assembler import PartAssembler
from .errors import error_from_status
from .provider_state import encode_kind_and_phase, encode_reasoning_item
from .usage import parse_usage

INCOMPLETE_REASONS: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.MAX_TOKENS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""The reasons of an incomplete response; all others map to OTHER."""

PARAGRAPH_SEPARATOR = "\n\n"
"""Separates the parts of a reasoning summary, which are paragraphs with headings."""

FragmentKind = str
"""The content that a fragment belongs to: "output_text", "refusal", "summary", "reasoning_text" or "arguments"."""


@dataclass(slots=True)
class _Item:
    """An open item. `emitted` counts the characters emitted so far for each of its pieces."""

    number: int
    type: str = ""
    id: str = ""
    emitted: dict[tuple[FragmentKind, int], int] = field(default_factory=dict)

    def slot(self, kind: FragmentKind, piece: int) -> Hashable:
        """Return the slot of the part that a piece belongs to. All reasoning of an item is one part."""
        return (self.number, "reasoning", 0) if kind in ("summary", "reasoning_text") else (self.number, kind, piece)

    def has_reasoning(self) -> bool:
        """Return whether some of its reasoning was emitted."""
        return any(kind in ("summary", "reasoning_text") for kind, _ in self.emitted)


class ResponsesParser:
    """Parse one response. `index` is the position of an item in the output."""

    def __init__(self) -> None:
        self._parts = PartAssembler()
        self._open: dict[int, _Item] = {}
        self._count = 0
        self._refused = False
        self._status = self._incomplete_reason = ""
        self.usage = Usage()

    def item_index(self, payload: Mapping[str, Any]) -> int:
        """Return the position of an event's item: by output index, else by id, else the most recently opened item."""
        index = payload.get("output_index")
        if isinstance(index, int):
            return index
        item_id = string_field(payload, "item_id") or string_field(object_field(payload, "item"), "id")
        known = (index for index, item in self._open.items() if item_id and item.id == item_id)
        return next(known, max(self._open, default=self._count))

    def start_item(self, index: int, item: Mapping[str, Any]) -> None:
        """Start an item. Another item still open at its position is closed."""
        opened = self._open.get(index)
        if opened is not None and opened.type and opened.id == string_field(item, "id"):
            return
        self.close_item(index, {})
        opened = self._open_item(index)
        opened.type, opened.id = string_field(item, "type"), string_field(item, "id")
        if opened.type == "function_call":
            self._add_tool_call(opened, item)

    def add_delta(self, index: int, kind: FragmentKind, piece: int, fragment: str) -> None:
        """Append a fragment to an item. Arguments of a tool call that has no name yet wait for the complete item."""
        opened = self._open.get(index) or self._open_item(index)
        if fragment and (kind != "arguments" or opened.type == "function_call"):
            self._emit(opened, kind, piece, fragment)

    def add_reasoning_progress(self) -> None:
        """Report that the model is reasoning without visible content."""
        self._parts.add_reasoning_progress()

    def close_item(self, index: int, item: Mapping[str, Any]) -> None:
        """Complete an item. `item` may be empty if everything was streamed. Unknown types are ignored."""
        opened = self._open.get(index)
        if opened is None:
            if not item:
                return
            opened = self._open_item(index)
        match string_field(item, "type"):
            case "message":
                self._add_message(opened, item)
            case "reasoning":
                self._add_reasoning(opened, item)
            case "function_call":
                self._add_tool_call(opened, item)
        for kind, piece in opened.emitted:
            self._parts.complete(opened.slot(kind, piece))
        del self._open[index]

    def set_response(self, response: Mapping[str, Any], default_status: str) -> None:
        """Read the complete response. `default_status` applies if it has no status.

        Raises the GatewayError of a failed response, with its usage.
        """
        self.usage = parse_usage(response.get("usage")) or self.usage
        self._status = string_field(response, "status") or default_status
        error = error_from_status(response, self._status)
        if error is not None:
            raise error.replace(usage=self.usage)
        self._incomplete_reason = string_field(object_field(response, "incomplete_details"), "reason")
        self._add_missing(response.get("output"))

    def finish(self) -> list[Event]:
        """Return the last events."""
        reason, provider_reason = FinishReason.OTHER, self._status
        if self._status == "incomplete":
            provider_reason = self._incomplete_reason or self._status
            reason = INCOMPLETE_REASONS.get(provider_reason, FinishReason.OTHER)
        elif self._status == "completed":
            reason = FinishReason.REFUSAL if self._refused else FinishReason.STOP
            reason = FinishReason.TOOL_CALLS if self._parts.tool_calls else reason
        return [*self._parts.drain(), Finished(reason, redact(provider_reason), self.usage)]

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        return self._parts.drain()

    def _add_missing(self, output: Any) -> None:
        """Add what was not streamed: all items if none was streamed, else the rest of the items still open."""
        none_streamed = not self._count
        for index, item in enumerate(output if isinstance(output, list) else ()):
            if not isinstance(item, dict):
                continue
            opened = self._open.get(index)
            is_open = opened is not None and opened.type in ("", string_field(item, "type"))
            if none_streamed or is_open:
                self.close_item(index, item)
        for index in list(self._open):
            self.close_item(index, {})

    def _open_item(self, index: int) -> _Item:
        opened = self._open[index] = _Item(self._count)
        self._count += 1
        return opened

    def _emit(self, opened: _Item, kind: FragmentKind, piece: int, fragment: str) -> None:
        slot, emitted = opened.slot(kind, piece), opened.emitted.get((kind, piece))
        if kind == "arguments":
            self._parts.add_tool_call(slot, "", "", fragment)
        elif kind in ("summary", "reasoning_text"):
            separator = PARAGRAPH_SEPARATOR if emitted is None and opened.has_reasoning() else ""
            self._parts.add_reasoning(slot, separator + fragment)
        else:
            self._refused = self._refused or kind == "refusal"
            self._parts.add_text(slot, fragment)
        opened.emitted[kind, piece] = (emitted or 0) + len(fragment)

    def _emit_rest(self, opened: _Item, kind: FragmentKind, piece: int, text: str) -> None:
        rest = text[opened.emitted.get((kind, piece), 0) :]
        if rest:
            self._emit(opened, kind, piece, rest)

    def _add_message(self, opened: _Item, item: Mapping[str, Any]) -> None:
        for piece, content in enumerate(_positional_objects(item, "content")):
            kind = string_field(content, "type")
            if kind in ("output_text", "refusal"):
                text_field = "refusal" if kind == "refusal" else "text"
                self._emit_rest(opened, kind, piece, fragment_field(content, text_field))
        for kind, piece in opened.emitted:
            self._parts.set_provider_state(
                opened.slot(kind, piece), Text, encode_kind_and_phase(kind, string_field(item, "phase"))
            )

    def _add_reasoning(self, opened: _Item, item: Mapping[str, Any]) -> None:
        for kind, listed in (("reasoning_text", "content"), ("summary", "summary")):
            for piece, paragraph in enumerate(_positional_objects(item, listed)):
                self._emit_rest(opened, kind, piece, fragment_field(paragraph, "text"))
        state, slot = encode_reasoning_item(item), opened.slot("summary", 0)
        if state and opened.emitted:
            self._parts.set_provider_state(slot, Reasoning, state)
        elif state:
            self._parts.add_redacted_reasoning(slot, state)
            opened.emitted["summary", 0] = 0

    def _add_tool_call(self, opened: _Item, item: Mapping[str, Any]) -> None:
        call_id = string_field(item, "call_id") or string_field(item, "id")
        self._parts.add_tool_call(opened.slot("arguments", 0), call_id, string_field(item, "name"), "")
        opened.emitted.setdefault(("arguments", 0), 0)
        self._emit_rest(opened, "arguments", 0, fragment_field(item, "arguments"))


def _positional_objects(value: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """Return a list field with every item at its position. Items that are not objects become empty."""
    found = value.get(field)
    return [item if isinstance(item, dict) else {} for item in found] if isinstance(found, list) else []
