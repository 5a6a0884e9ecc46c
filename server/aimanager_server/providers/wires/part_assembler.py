"""Assemble the fragments of a response into numbered parts and events."""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from dataclasses import dataclass, field

from ...core.content import Attachment, Part, Reasoning, Text, ToolCall
from ...core.errors import ProviderProtocolError
from ...core.response import Event, PartCompleted, ReasoningDelta, ReasoningProgress, TextDelta, ToolCallDelta
from .json_codec import fix_surrogates

MAX_PARTS = 1000
"""The parts of one response: text, reasoning, tool calls and files. Each costs time in every layer, and a message of a
later request may have no more by default."""

MAX_TOOL_NAME_LENGTH = 1024
MAX_CALL_ID_LENGTH = 65_536
"""Characters. Some gateways put the state of a model's reasoning into the ids of its calls, which takes kilobytes."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Replaces half a surrogate pair if the other half never arrives."""


@dataclass(slots=True)
class _OpenPart:
    kind: type[Text | Reasoning | ToolCall]
    index: int = -1
    fragments: list[str] = field(default_factory=list)
    id: str = ""
    name: str = ""
    provider_state: bytes = b""
    redacted: bool = False
    pending_surrogate: str = ""

    def join_surrogates(self, fragment: str) -> str:
        """Return the fragment as valid UTF-8 text. A high surrogate at its end is held for the next fragment."""
        if fragment.isascii() and not self.pending_surrogate:
            return fragment
        fragment, self.pending_surrogate = self.pending_surrogate + fragment, ""
        if "\ud800" <= fragment[-1:] <= "\udbff":
            fragment, self.pending_surrogate = fragment[:-1], fragment[-1]
        return fix_surrogates(fragment)

    def build(self) -> Part:
        body = "".join(self.fragments)
        if self.kind is Text:
            return Text(body, self.provider_state)
        if self.kind is Reasoning:
            return Reasoning(body, self.redacted, self.provider_state)
        return ToolCall(self.id, self.name, body or "{}", self.provider_state)


class PartAssembler:
    """Assemble the fragments of a response into events with part indices.

    A slot identifies a part within the response, in whatever way the wire does: a block index, "text", a tool call id.
    Indices are dense and follow the order of the first visible fragment. A part without content or state is dropped.
    Adjacent fragments of one part become one event. Raises ProviderProtocolError for more than MAX_PARTS parts, and
    for a tool call without a name, or with a name or an id of excessive length.
    """

    __slots__ = ("_count", "_delta_id", "_delta_name", "_emitted", "_events", "_growing", "_open", "tool_calls")

    def __init__(self) -> None:
        self._open: dict[Hashable, _OpenPart] = {}
        self._events: list[Event] = []
        self._growing: _OpenPart | None = None
        """The part whose fragments from `_emitted` on are one delta that is not in `_events` yet."""
        self._emitted = 0
        self._delta_id = self._delta_name = ""
        self._count = 0
        self.tool_calls = 0

    def add_text(self, slot: Hashable, fragment: str) -> None:
        """Append text to a part."""
        if fragment:
            self._add_fragment(slot, Text, fragment)

    def add_reasoning(self, slot: Hashable, fragment: str) -> None:
        """Append reasoning to a part."""
        if fragment:
            self._add_fragment(slot, Reasoning, fragment)

    def add_redacted_reasoning(self, slot: Hashable, state: bytes) -> None:
        """Add a reasoning part that consists only of the provider's opaque state."""
        part = self._open_part(slot, Reasoning)
        part.redacted, part.provider_state = True, state

    def set_provider_state(self, slot: Hashable, kind: type[Text | Reasoning | ToolCall], state: bytes) -> None:
        """Set the provider's opaque state of a part. A part with state is kept even if it has no content."""
        self._open_part(slot, kind).provider_state = state

    def add_reasoning_progress(self) -> None:
        """Emit ReasoningProgress: the model is reasoning, but no content is visible."""
        self._emit_growing()
        if not (self._events and isinstance(self._events[-1], ReasoningProgress)):
            self._events.append(ReasoningProgress())

    def add_tool_call(self, slot: Hashable, call_id: str, name: str, fragment: str) -> None:
        """Append to a tool call. The first non-empty id and name are used; a missing id is generated."""
        part = self._open_part(slot, ToolCall)
        fragment = part.join_surrogates(fragment)
        is_new, late_name = part.index < 0, "" if part.name else name
        _check_length("name", late_name, MAX_TOOL_NAME_LENGTH)
        if is_new:
            _check_length("id", call_id, MAX_CALL_ID_LENGTH)
            self.tool_calls += 1
            part.id = call_id or f"call_{secrets.token_hex(12)}"
        if not (is_new or late_name or fragment):
            return
        self._grow(part)
        if is_new:
            self._delta_id = part.id
        if late_name:
            part.name = self._delta_name = late_name
        if fragment:
            part.fragments.append(fragment)

    def text_of(self, slot: Hashable) -> str:
        """Return the text so far of an open part; empty if there is none. Takes time in proportion to the text."""
        part = self._open.get(slot)
        return "".join(part.fragments) if part is not None else ""

    def add_attachment(self, attachment: Attachment) -> None:
        """Add a file from the model as a completed part."""
        self._emit(PartCompleted(self._next_index(), attachment))

    def complete(self, slot: Hashable) -> None:
        """Complete a part. Unknown and already completed slots are ignored."""
        part = self._open.pop(slot, None)
        if part is None:
            return
        if part.pending_surrogate:
            part.pending_surrogate = ""
            self._grow(part)
            part.fragments.append(REPLACEMENT)
        if part.index < 0 and not part.provider_state:
            return
        if part.kind is ToolCall and not part.name.strip():
            raise ProviderProtocolError("The provider sent a tool call without a name.")
        if part.index < 0:
            part.index = self._next_index()
        self._emit(PartCompleted(part.index, part.build()))

    def complete_all(self) -> None:
        """Complete every open part."""
        for slot in list(self._open):
            self.complete(slot)

    def drain(self) -> list[Event]:
        """Return the events added since the last drain."""
        self._emit_growing()
        events, self._events = self._events, []
        return events

    def _open_part(self, slot: Hashable, kind: type[Text | Reasoning | ToolCall]) -> _OpenPart:
        part = self._open.get(slot)
        if part is None:
            part = self._open[slot] = _OpenPart(kind)
        return part

    def _add_fragment(self, slot: Hashable, kind: type[Text | Reasoning], fragment: str) -> None:
        part = self._open_part(slot, kind)
        fragment = part.join_surrogates(fragment)
        if fragment:
            self._grow(part)
            part.fragments.append(fragment)

    def _grow(self, part: _OpenPart) -> None:
        """Make the part the one whose next fragments become one delta."""
        if part is self._growing:
            return
        self._emit_growing()
        if part.index < 0:
            part.index = self._next_index()
        self._growing, self._emitted = part, len(part.fragments)

    def _emit_growing(self) -> None:
        """Emit the fragments since the last event as one delta."""
        part, self._growing = self._growing, None
        if part is None:
            return
        fragment = "".join(part.fragments[self._emitted :])
        if part.kind is ToolCall:
            self._events.append(ToolCallDelta(part.index, self._delta_id, self._delta_name, fragment))
            self._delta_id = self._delta_name = ""
        else:
            delta: type[TextDelta | ReasoningDelta] = TextDelta if part.kind is Text else ReasoningDelta
            self._events.append(delta(part.index, fragment))

    def _emit(self, event: Event) -> None:
        self._emit_growing()
        self._events.append(event)

    def _next_index(self) -> int:
        if self._count >= MAX_PARTS:
            raise ProviderProtocolError(
                f"The response exceeds the limit of {MAX_PARTS} parts (text, reasoning, tool calls and files)."
            )
        self._count += 1
        return self._count - 1


def _check_length(what: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise ProviderProtocolError(
            f"The {what} of a tool call exceeds the limit of {limit} characters; the provider sent {len(text)}."
        )
