"""Reads one answer of the Responses API, whole or in pieces, into the same events.

An answer is a list of items. A whole item, wherever it comes from, is read by one path: it adds what no fragment has
brought yet. So a stream, a whole answer and a server that streams no fragments cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....core.content import Reasoning, Text
from ....core.response import Event, Finished, FinishReason
from ....core.usage import Usage
from ....telemetry.redaction import masked
from ..dialect import Parts
from ..json_codec import mended
from .errors import fault_of_status
from .provider_state import reasoning_state, text_state
from .usage import usage_of

INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": FinishReason.MAX_TOKENS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""Our word for each reason to end early; the others are OTHER."""

BETWEEN = "\n\n"
"""Stands between the parts of a summary, which come as paragraphs with headings of their own."""

Kind = str
"""What a fragment is of: "output_text", "refusal", "summary", "thought" or "arguments"."""


@dataclass(slots=True)
class _Item:
    """An item that is open. `shown` counts the characters of each of its pieces that were passed on."""

    number: int
    type: str = ""
    id: str = ""
    shown: dict[tuple[Kind, int], int] = field(default_factory=dict)

    def slot(self, kind: Kind, piece: int) -> Hashable:
        """The part the piece belongs to: all of an item's reasoning is one."""
        return (self.number, "reasoning", 0) if kind in ("summary", "thought") else (self.number, kind, piece)

    def has_reasoned(self) -> bool:
        """Some of its reasoning was shown."""
        return any(kind in ("summary", "thought") for kind, _ in self.shown)


class Answer:
    """One answer in the making. `index` is an item's place in the output."""

    def __init__(self) -> None:
        self._parts = Parts()
        self._open: dict[int, _Item] = {}
        self._count = 0
        self._refused = False
        self.usage = Usage()

    def index_of(self, payload: Mapping[str, Any]) -> int:
        """The place of the item an event speaks of: by number, else by id, else the one opened last."""
        index = payload.get("output_index")
        if isinstance(index, int):
            return index
        item_id = text_of(payload, "item_id") or text_of(object_of(payload, "item"), "id")
        known = (index for index, item in self._open.items() if item_id and item.id == item_id)
        return next(known, max(self._open, default=self._count))

    def begin(self, index: int, item: Mapping[str, Any]) -> None:
        """An item opens; another one that was left open in its place is whole."""
        opened = self._open.get(index)
        if opened is not None and opened.type and opened.id == text_of(item, "id"):
            return
        self.close(index, {})
        opened = self._opened(index)
        opened.type, opened.id = text_of(item, "type"), text_of(item, "id")
        if opened.type == "function_call":
            self._call(opened, item)

    def extend(self, index: int, kind: Kind, piece: int, fragment: str) -> None:
        """An item goes on. Arguments of a call nobody has named wait for the whole item."""
        opened = self._open.get(index) or self._opened(index)
        if fragment and (kind != "arguments" or opened.type == "function_call"):
            self._show(opened, kind, piece, fragment)

    def think(self) -> None:
        """The model reasons unseen."""
        self._parts.thinking()

    def close(self, index: int, item: Mapping[str, Any]) -> None:
        """An item is whole; an empty one says no more than what was shown. Types not known are passed over."""
        opened = self._open.get(index)
        if opened is None:
            if not item:
                return
            opened = self._opened(index)
        match text_of(item, "type"):
            case "message":
                self._message(opened, item)
            case "reasoning":
                self._reasoning(opened, item)
            case "function_call":
                self._call(opened, item)
        for kind, piece in opened.shown:
            self._parts.complete(opened.slot(kind, piece))
        del self._open[index]

    def conclude(self, response: Mapping[str, Any], said: str) -> list[Event]:
        """The last events. `response` is the whole answer, `said` the status where it names none itself.

        Raises the fault that a failed answer means, with the usage.
        """
        self.usage = usage_of(response.get("usage")) or self.usage
        status = text_of(response, "status") or said
        fault = fault_of_status(response, status)
        if fault is not None:
            fault.usage = self.usage
            raise fault
        self._complete(response.get("output"))
        return [*self._parts.drain(), self._finished(response, status)]

    def drain(self) -> list[Event]:
        """The events since the last drain."""
        return self._parts.drain()

    def _complete(self, output: Any) -> None:
        """Add what the stream has not brought: all items where it brought none, the rest of those left open."""
        brought_none = not self._count
        for index, item in enumerate(output if isinstance(output, list) else ()):
            if not isinstance(item, dict):
                continue
            opened = self._open.get(index)
            is_open = opened is not None and opened.type in ("", text_of(item, "type"))
            if brought_none or is_open:
                self.close(index, item)
        for index in list(self._open):
            self.close(index, {})

    def _finished(self, response: Mapping[str, Any], status: str) -> Finished:
        reason, why = FinishReason.OTHER, status
        if status == "incomplete":
            why = text_of(object_of(response, "incomplete_details"), "reason") or status
            reason = INCOMPLETE.get(why, FinishReason.OTHER)
        elif status == "completed":
            reason = FinishReason.REFUSAL if self._refused else FinishReason.STOP
            reason = FinishReason.TOOL_CALLS if self._parts.tool_calls else reason
        return Finished(reason, masked(why), self.usage)

    def _opened(self, index: int) -> _Item:
        opened = self._open[index] = _Item(self._count)
        self._count += 1
        return opened

    def _show(self, opened: _Item, kind: Kind, piece: int, fragment: str) -> None:
        slot, shown = opened.slot(kind, piece), opened.shown.get((kind, piece))
        if kind == "arguments":
            self._parts.tool(slot, "", "", fragment)
        elif kind in ("summary", "thought"):
            between = BETWEEN if shown is None and opened.has_reasoned() else ""
            self._parts.reasoning(slot, between + fragment)
        else:
            self._refused = self._refused or kind == "refusal"
            self._parts.text(slot, fragment)
        opened.shown[kind, piece] = (shown or 0) + len(fragment)

    def _show_rest(self, opened: _Item, kind: Kind, piece: int, whole: str) -> None:
        rest = whole[opened.shown.get((kind, piece), 0) :]
        if rest:
            self._show(opened, kind, piece, rest)

    def _message(self, opened: _Item, item: Mapping[str, Any]) -> None:
        for piece, content in enumerate(_objects(item, "content")):
            kind = text_of(content, "type")
            if kind in ("output_text", "refusal"):
                self._show_rest(opened, kind, piece, _raw(content, "refusal" if kind == "refusal" else "text"))
        for kind, piece in opened.shown:
            self._parts.state(opened.slot(kind, piece), Text, text_state(kind, text_of(item, "phase")))

    def _reasoning(self, opened: _Item, item: Mapping[str, Any]) -> None:
        for kind, listed in (("thought", "content"), ("summary", "summary")):
            for piece, paragraph in enumerate(_objects(item, listed)):
                self._show_rest(opened, kind, piece, _raw(paragraph, "text"))
        state, slot = reasoning_state(item), opened.slot("summary", 0)
        if state and opened.shown:
            self._parts.state(slot, Reasoning, state)
        elif state:
            self._parts.redacted(slot, state)
            opened.shown["summary", 0] = 0

    def _call(self, opened: _Item, item: Mapping[str, Any]) -> None:
        call_id = text_of(item, "call_id") or text_of(item, "id")
        self._parts.tool(opened.slot("arguments", 0), call_id, text_of(item, "name"), "")
        opened.shown.setdefault(("arguments", 0), 0)
        self._show_rest(opened, "arguments", 0, _raw(item, "arguments"))


def text_of(value: Mapping[str, Any], field: str) -> str:
    """A word of the provider's, empty where there is none."""
    return mended(_raw(value, field))


def object_of(value: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """An object of the provider's, empty where there is none."""
    found = value.get(field)
    return found if isinstance(found, dict) else {}


def _raw(value: Mapping[str, Any], field: str) -> str:
    """A fragment as it came: half a surrogate pair at its end waits for the next one."""
    found = value.get(field)
    return found if isinstance(found, str) else ""


def _objects(value: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """A list of the provider's, in which what is no object is empty."""
    found = value.get(field)
    return [item if isinstance(item, dict) else {} for item in found] if isinstance(found, list) else []
