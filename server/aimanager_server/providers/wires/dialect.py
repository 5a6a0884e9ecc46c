"""What a wire must be able to say: four pure functions, and the Parts that number its fragments."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ...core.content import Attachment, Part, Reasoning, Text, ToolCall
from ...core.errors import GatewayError
from ...core.request import Call
from ...core.response import Event, PartCompleted, ReasoningDelta, ReasoningProgress, TextDelta, ToolCallDelta
from ...core.usage import Usage
from .json_codec import mended

LOST = "\N{REPLACEMENT CHARACTER}"
"""Stands for half a surrogate pair whose other half never came."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as bytes. The headers hold the key, so they are kept out of `repr`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""


class Reader(Protocol):
    """Reads one streamed answer, incrementally and in bounded memory."""

    @property
    def usage(self) -> Usage:
        """What was counted so far: all there is to bill when the stream is cut."""
        ...

    @property
    def is_ending(self) -> bool:
        """The provider said why it stopped, so that `end` makes an answer of it; only usage or a marker may follow."""
        ...

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes completed, adjacent text merged. Raises GatewayError on an error event.

        After `Finished` was returned, further bytes are ignored.
        """
        ...

    def end(self) -> list[Event]:
        """The events that the end of the stream completes.

        Raises ProviderProtocol where the provider's terminal evidence is missing: the answer was cut.
        """
        ...


class Dialect(Protocol):
    """One provider's words for ours. Pure: no clock, no network, no state between calls."""

    def encode(self, call: Call, key: str) -> HttpRequest:
        """The request for `call.target`, streamed where `call.streams`; `key` may be empty."""
        ...

    def decode(self, body: bytes) -> list[Event]:
        """The events of a whole, unstreamed answer. Raises GatewayError where the body is an error or not an answer."""
        ...

    def reader(self) -> Reader:
        """A reader for one streamed answer."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a response that is not a success means. `headers` are in lower case."""
        ...

    def probe(self, key: str) -> HttpRequest:
        """A free request that shows whether the provider answers: its model list."""
        ...


@dataclass(slots=True)
class _Open:
    kind: type[Text | Reasoning | ToolCall]
    index: int = -1
    pieces: list[str] = field(default_factory=list)
    id: str = ""
    name: str = ""
    state: bytes = b""
    redacted: bool = False
    half: str = ""

    def whole_signs(self, fragment: str) -> str:
        """The fragment as UTF-8 can carry it; half a surrogate pair at its end waits for the next fragment."""
        if fragment.isascii() and not self.half:
            return fragment
        fragment, self.half = self.half + fragment, ""
        if "\ud800" <= fragment[-1:] <= "\udbff":
            fragment, self.half = fragment[:-1], fragment[-1]
        return mended(fragment)

    def part(self) -> Part:
        body = "".join(self.pieces)
        if self.kind is Text:
            return Text(body, self.state)
        if self.kind is Reasoning:
            return Reasoning(body, self.redacted, self.state)
        return ToolCall(self.id, self.name, body or "{}", self.state)


class Parts:
    """Turns a provider's fragments into numbered events; adjacent fragments of one part become one event.

    A slot is whatever the wire tells parts apart by: a block index, "text", a tool call's id. Indices are dense, in
    the order in which parts first showed something; a part that never shows anything is no part.
    """

    def __init__(self) -> None:
        self._open: dict[Hashable, _Open] = {}
        self._events: list[Event] = []
        self._count = 0
        self.tool_calls = 0

    def text(self, slot: Hashable, fragment: str) -> None:
        """More text."""
        if fragment:
            self._add(slot, Text, fragment)

    def reasoning(self, slot: Hashable, fragment: str) -> None:
        """More reasoning."""
        if fragment:
            self._add(slot, Reasoning, fragment)

    def redacted(self, slot: Hashable, state: bytes) -> None:
        """Reasoning of which only the provider's state is left."""
        part = self._at(slot, Reasoning)
        part.redacted, part.state = True, state

    def state(self, slot: Hashable, kind: type[Text | Reasoning | ToolCall], state: bytes) -> None:
        """The provider's opaque state of a part; it keeps a part alive that shows nothing else."""
        self._at(slot, kind).state = state

    def thinking(self) -> None:
        """The model thinks, and nothing shows what."""
        if not (self._events and isinstance(self._events[-1], ReasoningProgress)):
            self._events.append(ReasoningProgress())

    def tool(self, slot: Hashable, call_id: str, name: str, fragment: str) -> None:
        """More of a tool call. The first non-empty id and name count; an id is minted where there is none."""
        part = self._at(slot, ToolCall)
        fragment = part.whole_signs(fragment)
        if part.index < 0:
            part.id = call_id or f"call_{secrets.token_hex(12)}"
            part.name = name
            part.index = self._next_index()
            self.tool_calls += 1
            self._events.append(ToolCallDelta(part.index, part.id, part.name, fragment))
        else:
            late_name = "" if part.name else name
            part.name = part.name or name
            if fragment or late_name:
                self._extend(part, late_name, fragment)
        if fragment:
            part.pieces.append(fragment)

    def file(self, attachment: Attachment) -> None:
        """A file the model wrote, which comes whole."""
        self._events.append(PartCompleted(self._next_index(), attachment))

    def complete(self, slot: Hashable) -> None:
        """The part is whole. Unknown and already completed slots are ignored."""
        part = self._open.pop(slot, None)
        if part is None:
            return
        if part.half:
            part.half = ""
            self._close_half(part)
        if part.index < 0 and not part.state:
            return
        if part.index < 0:
            part.index = self._next_index()
        self._events.append(PartCompleted(part.index, part.part()))

    def complete_all(self) -> None:
        """Every open part is whole."""
        for slot in list(self._open):
            self.complete(slot)

    def drain(self) -> list[Event]:
        """The events since the last drain."""
        events, self._events = self._events, []
        return events

    def _at(self, slot: Hashable, kind: type[Text | Reasoning | ToolCall]) -> _Open:
        part = self._open.get(slot)
        if part is None:
            part = self._open[slot] = _Open(kind)
        return part

    def _add(self, slot: Hashable, kind: type[Text | Reasoning], fragment: str) -> None:
        part = self._at(slot, kind)
        fragment = part.whole_signs(fragment)
        if fragment:
            self._show(part, fragment)

    def _close_half(self, part: _Open) -> None:
        if part.kind is ToolCall:
            part.pieces.append(LOST)
            self._extend(part, "", LOST)
        else:
            self._show(part, LOST)

    def _show(self, part: _Open, fragment: str) -> None:
        if part.index < 0:
            part.index = self._next_index()
        part.pieces.append(fragment)
        delta: type[TextDelta | ReasoningDelta] = TextDelta if part.kind is Text else ReasoningDelta
        last = self._events[-1] if self._events else None
        if isinstance(last, delta) and last.index == part.index:
            self._events[-1] = delta(part.index, last.text + fragment)
        else:
            self._events.append(delta(part.index, fragment))

    def _extend(self, part: _Open, late_name: str, fragment: str) -> None:
        last = self._events[-1] if self._events else None
        if isinstance(last, ToolCallDelta) and last.index == part.index:
            self._events[-1] = ToolCallDelta(
                part.index, last.id, last.name or late_name, last.arguments_json + fragment
            )
        else:
            self._events.append(ToolCallDelta(part.index, "", late_name, fragment))

    def _next_index(self) -> int:
        self._count += 1
        return self._count - 1
