"""Parse a response of the Responses API, streamed or not, into the same events.

A response is a list of items. One code path reads a complete item, compares it with what was streamed of it, and adds
what no fragment has brought yet, so that streams, unstreamed responses and servers that stream without fragments
always agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.content import Reasoning, Text
from ....core.errors import ProviderProtocolError
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ..finish_reasons import printable_reason
from ..json_codec import object_field, string_field
from ..part_assembler import PartAssembler
from .errors import error_from_status
from .output_items import ARGUMENTS, FragmentKind, OutputItem, Piece, contradiction, pieces_of
from .provider_state import encode_kind_and_phase, encode_reasoning_item
from .usage import parse_usage

INCOMPLETE_REASONS: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.MAX_TOKENS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""The reasons of an incomplete response; all others map to OTHER."""

PARAGRAPH_SEPARATOR = "\n\n"
"""Separates the parts of a reasoning summary, which are paragraphs with headings."""

READ_TYPES = ("message", "reasoning", "function_call")
"""The item types with content for the caller. Other items, such as those of hosted tools, are ignored."""


class ResponsesParser:
    """Parse one response. `index` is the position of an item in the output."""

    def __init__(self) -> None:
        self._parts = PartAssembler()
        self._open: dict[int, OutputItem] = {}
        self._index_by_id: dict[str, int] = {}
        self._last_index = 0
        self._read_items: list[OutputItem] = []
        self._count = 0
        self._refused = self._has_done_events = False
        self._status = self._incomplete_reason = ""
        self.usage = Usage()

    @property
    def has_items(self) -> bool:
        """Whether an item was started."""
        return self._count > 0

    def item_index(self, payload: Mapping[str, Any]) -> int:
        """Return the position of an event's item: by output index, else by id, else the most recently opened item."""
        index = payload.get("output_index")
        if isinstance(index, int):
            return index
        item_id = string_field(payload, "item_id") or string_field(object_field(payload, "item"), "id")
        index = self._index_by_id.get(item_id)
        if index is not None:
            return index
        return self._last_index if self._last_index in self._open else self._count

    def start_item(self, index: int, item: Mapping[str, Any]) -> None:
        """Start an item. Another item still open at its position is closed."""
        opened = self._open.get(index)
        if opened is not None and opened.type and opened.id == string_field(item, "id"):
            return
        self.close_item(index, {})
        opened = self._open_item(index)
        opened.announced = item
        opened.type, opened.id = string_field(item, "type"), string_field(item, "id")
        if opened.id:
            self._index_by_id[opened.id] = index
        if opened.type == "function_call":
            self._start_tool_call(opened, item)

    def add_delta(self, index: int, kind: FragmentKind, position: int, fragment: str) -> None:
        """Append a fragment to an item. Arguments of a tool call that has no name yet wait for the complete item."""
        opened = self._open.get(index) or self._open_item(index)
        if not fragment:
            return
        if kind == "arguments" and opened.type != "function_call":
            opened.waiting.append(fragment)
        else:
            self._emit(opened, (kind, 0 if kind == "arguments" else position), fragment)

    def add_reasoning_progress(self) -> None:
        """Report that the model is reasoning without visible content."""
        self._parts.add_reasoning_progress()

    def close_item(self, index: int, item: Mapping[str, Any]) -> None:
        """Complete an item. If `item` is empty, it is as announced and streamed. Unknown types are ignored.

        Raises ProviderProtocolError if it contradicts what was streamed.
        """
        self._has_done_events = self._has_done_events or bool(item)
        opened = self._open.pop(index, None)
        if opened is None:
            if not item:
                return
            opened = self._open_item(index)
            del self._open[index]
        if opened.id:
            self._index_by_id.pop(opened.id, None)
        self._complete(opened, item)

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
        output = response.get("output")
        if isinstance(output, list) and output:
            self._compare([item for item in output if isinstance(item, dict)])
        for index, opened in list(self._open.items()):
            if self._has_done_events and opened.has_content():
                raise ProviderProtocolError("The response is complete, but one of its output items is not.")
            self.close_item(index, {})

    def finish(self) -> list[Event]:
        """Return the last events."""
        reason, provider_reason = FinishReason.OTHER, self._status
        if self._status == "incomplete":
            provider_reason = self._incomplete_reason or self._status
            reason = INCOMPLETE_REASONS.get(provider_reason, FinishReason.OTHER)
        elif self._status == "completed":
            reason = FinishReason.REFUSAL if self._refused else FinishReason.STOP
            reason = FinishReason.TOOL_CALLS if self._parts.tool_calls else reason
        return [*self._parts.drain(), Finished(reason, printable_reason(provider_reason), self.usage)]

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        return self._parts.drain()

    def _compare(self, output: list[Mapping[str, Any]]) -> None:
        """Compare the final output with the streamed items of the same type, in order, and add what is missing.

        Ids are not compared: some servers change them. Reasoning may be missing from the final output.
        """
        streamed: dict[str, list[OutputItem]] = {}
        for item in sorted((*self._read_items, *self._open.values()), key=lambda item: item.position, reverse=True):
            streamed.setdefault(item.inferred_type, []).append(item)
        for final in output:
            kind = string_field(final, "type")
            if kind not in READ_TYPES:
                continue
            found = streamed[kind].pop() if streamed.get(kind) else None
            if found is None:
                self._complete(self._new_item(self._count), final)
            elif self._open.get(found.index) is found:
                self.close_item(found.index, final)
            else:
                self._check_again(found, final)
        if any(item.has_content() for items in streamed.values() for item in items):
            raise contradiction("the number of output items")

    def _check_again(self, read: OutputItem, final: Mapping[str, Any]) -> None:
        pieces = pieces_of(final)
        read.check(final, pieces)
        if any(read.rest(piece, text) for piece, text in (pieces or {}).items()):
            raise contradiction("an output item")

    def _new_item(self, index: int) -> OutputItem:
        self._count += 1
        return OutputItem(index, self._count - 1)

    def _open_item(self, index: int) -> OutputItem:
        opened = self._open[index] = self._new_item(index)
        self._last_index = index
        return opened

    def _complete(self, opened: OutputItem, item: Mapping[str, Any]) -> None:
        pieces = pieces_of(item)
        opened.check(item, pieces)
        if not item:
            item, pieces = opened.announced, opened.announced_pieces()
        if item.get("type") == "function_call":
            self._start_tool_call(opened, item)
        elif opened.waiting:
            raise ProviderProtocolError("The provider sent the arguments of a tool call without its name.")
        for piece, text in (pieces or {}).items():
            rest = opened.rest(piece, text)
            if rest:
                self._emit(opened, piece, rest)
        self._set_state(opened, item)
        opened.type = opened.inferred_type or string_field(item, "type")
        if opened.type in READ_TYPES:
            self._read_items.append(opened)
        for piece in opened.streamed:
            self._parts.complete(opened.slot(piece))

    def _start_tool_call(self, opened: OutputItem, item: Mapping[str, Any]) -> None:
        call_id = string_field(item, "call_id") or string_field(item, "id")
        self._parts.add_tool_call(opened.slot(ARGUMENTS), call_id, string_field(item, "name"), "")
        opened.streamed.setdefault(ARGUMENTS, [])
        for fragment in opened.waiting:
            self._emit(opened, ARGUMENTS, fragment)
        opened.waiting = []

    def _emit(self, opened: OutputItem, piece: Piece, fragment: str) -> None:
        kind, slot = piece[0], opened.slot(piece)
        if kind == "arguments":
            self._parts.add_tool_call(slot, "", "", fragment)
        elif kind in ("summary", "reasoning_text"):
            separator = PARAGRAPH_SEPARATOR if opened.has_reasoning and piece not in opened.streamed else ""
            opened.has_reasoning = True
            self._parts.add_reasoning(slot, separator + fragment)
        else:
            self._refused = self._refused or kind == "refusal"
            self._parts.add_text(slot, fragment)
        opened.streamed.setdefault(piece, []).append(fragment)

    def _set_state(self, opened: OutputItem, item: Mapping[str, Any]) -> None:
        match item.get("type"):
            case "message":
                phase = string_field(item, "phase")
                for piece in opened.streamed:
                    self._parts.set_provider_state(opened.slot(piece), Text, encode_kind_and_phase(piece[0], phase))
            case "reasoning":
                state, slot = encode_reasoning_item(item), opened.slot(("summary", 0))
                if state and opened.streamed:
                    self._parts.set_provider_state(slot, Reasoning, state)
                elif state:
                    self._parts.add_redacted_reasoning(slot, state)
                    opened.streamed["summary", 0] = []
