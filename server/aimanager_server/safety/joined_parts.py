"""Filter the parts of a message as one text, so that what is divided over several of them is found too."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from ..core.content import Reasoning, Text
from ..core.response import Event, PartCompleted, ReasoningDelta, TextDelta
from .filter_run import SLICE_CHARACTERS, TEXT_COST, FilterRun, Placeholders, TextFilter
from .provider_state import with_safe_state
from .scanner import Rule

MAX_SEARCHES = 4
"""Searches that go on at the same time: of one part, and of the parts before it together with it."""

LAST_WORD = re.compile(r"[A-Z]?[a-z]{1,20}[.!?]")
"""The last word of a sentence, which is not the beginning of anything but of a match of a pattern."""

Place = tuple[int, int, Rule]


def field_of(index: int) -> str:
    """Return the field of a part in warnings."""
    return f"message.parts[{index}]"


class JoinedParts:
    """Filters the texts of the parts of one kind, text or reasoning, of one message or response.

    Each part is searched on its own, and together with those before it. The placeholder is where a match begins; the
    rest of the match disappears from the parts that follow. A part whose end could be the beginning of a match is
    completed once the next part, or the end of the response, tells. All positions count from the first part on.
    """

    def __init__(self, run: FilterRun, kind: type[Text | Reasoning], field: Callable[[int], str] = field_of) -> None:
        self._run = run
        self._kind = kind
        self._field = field
        self._across = FilterRun(run.scanner, Placeholders())
        """Counts what is read again."""
        self._parts: deque[_Part] = deque()
        """Parts that have not been passed on wholly. Only the last can be incomplete."""
        self._waiting: list[PartCompleted] = []
        self._searches: list[_Search] = []
        self._found: list[Place] = []
        self._events: list[Event] = []
        self._text = ""
        self._passed = 0

    def add(self, index: int, text: str) -> list[Event]:
        """Add a delta, and return the events to pass on now. Raises Blocked."""
        part = self._begin(index)
        if part is not None:  # else of a later part, which is read once it is complete
            part.has_deltas = True
            self._read(part, text)
        return self._drained()

    def complete(self, event: PartCompleted) -> list[Event]:
        """Complete a part, and return the events to pass on now. Raises Blocked."""
        if self._begin(event.index) is None:
            self._waiting.append(event)
            return []
        self._complete(event)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._complete(each)
        return self._drained()

    def finish(self) -> list[Event]:
        """Return the events that are left when no part follows. Raises Blocked."""
        self._searches.clear()
        self._pass()
        return self._drained()

    def cut(self) -> list[Event]:
        """Return the events to pass on when nothing more may pass: they complete the parts that have begun."""
        self._events += [part.cut() for part in self._parts if part.pieces]
        self._parts.clear()
        return self._drained()

    @property
    def _end(self) -> int:
        return self._passed + len(self._text)

    def _drained(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _begin(self, index: int) -> _Part | None:
        """Return the part, or None if another one is not complete yet."""
        last = self._parts[-1] if self._parts else None
        if last is not None and last.completed is None:
            return last if last.index == index else None
        part = _Part(index, self._field(index), self._kind, self._end)
        self._parts.append(part)
        self._searches.append(_Search(self._run, part.field, part.start))
        return part

    def _read(self, part: _Part, text: str) -> None:
        self._text += text
        part.end = self._end
        for search in self._searches:
            self._found += search.search(text)
        # A search that has come to this part finds no more than that of the part itself.
        self._searches = [one for one in self._searches if one.offset == part.start or one.final < part.start]
        self._pass()

    def _complete(self, event: PartCompleted) -> None:
        part = self._begin(event.index)
        assert part is not None
        assert isinstance(event.part, Text | Reasoning)
        text = event.part.text
        for position in range(part.end - part.start, len(text), SLICE_CHARACTERS):
            piece = text[position : position + SLICE_CHARACTERS]
            self._read(part, piece)
            self._run.spend(len(piece))
        self._run.spend(TEXT_COST)
        part.completed = event
        for search in self._searches:
            self._found += search.ending()
            search.go_on(self._across)
        self._searches = [one for one in self._searches if self._may_go_on(one)][:MAX_SEARCHES]
        self._pass()

    def _may_go_on(self, search: _Search) -> bool:
        held = search.held
        return bool(held) and (self._run.scanner.has_patterns or LAST_WORD.fullmatch(held) is None)

    def _pass(self) -> None:
        """Pass on what all searches are final about."""
        final = min([one.final for one in self._searches], default=self._end)
        found = _merged(self._found)
        ready = [place for place in found if place[1] <= final]
        self._found = found[len(ready) :]
        if self._found:
            final = min(final, self._found[0][0])
        position = self._passed
        for start, end, rule in ready:
            self._pass_text(position, start)
            part = self._parts[0]
            part.new.append(self._run.placeholder(part.field, rule, self._slice(start, end)))
            position = end
            self._pass_completed(position)
        self._pass_text(position, final)
        if self._parts:
            self._events += self._parts[0].deltas()
        self._text = self._text[final - self._passed :]
        self._passed = final

    def _pass_text(self, start: int, end: int) -> None:
        self._pass_completed(start)
        while start < end:
            part = self._parts[0]
            stop = min(end, part.end)
            part.new.append(self._slice(start, stop))
            start = stop
            self._pass_completed(start)

    def _pass_completed(self, position: int) -> None:
        while self._parts and self._parts[0].end <= position and (event := self._parts[0].completed) is not None:
            part = self._parts[0]
            self._events += part.deltas()
            self._events.append(part.filtered(self._run, event))
            self._parts.popleft()

    def _slice(self, start: int, end: int) -> str:
        return self._text[start - self._passed : end - self._passed]


class _Part:
    """A part and what has been passed on of it."""

    __slots__ = ("_kind", "completed", "end", "field", "has_deltas", "index", "new", "pieces", "start")

    def __init__(self, index: int, field: str, kind: type[Text | Reasoning], start: int) -> None:
        self.index = index
        self.field = field
        self.start = self.end = start
        self.has_deltas = False
        self.completed: PartCompleted | None = None
        self.pieces: list[str] = []
        self.new: list[str] = []
        self._kind = kind

    def deltas(self) -> list[Event]:
        """Return the delta of what is new, unless the part arrived without deltas."""
        text = "".join(self.new)
        self.new.clear()
        if not text:
            return []
        self.pieces.append(text)
        if not self.has_deltas:
            return []
        return [TextDelta(self.index, text) if self._kind is Text else ReasoningDelta(self.index, text)]

    def filtered(self, run: FilterRun, event: PartCompleted) -> Event:
        """Return the completion with what was passed on. Raises Blocked."""
        part, text = event.part, "".join(self.pieces)
        assert isinstance(part, Text | Reasoning)
        if text != part.text:
            part = replace(part, text=text, provider_state=b"")
        return PartCompleted(self.index, with_safe_state(run, self.field, part))

    def cut(self) -> Event:
        """Return the completion of a part that goes on, but may not pass."""
        return PartCompleted(self.index, self._kind("".join(self.pieces)))


class _Search(TextFilter):
    """Searches a text that begins at `offset`, and that the texts of later parts may continue."""

    __slots__ = ("offset",)

    def __init__(self, run: FilterRun, field: str, offset: int) -> None:
        super().__init__(run, field)
        self.offset = offset

    @property
    def final(self) -> int:
        """Return up to where more text changes nothing."""
        return self.offset + self._read + self._start

    @property
    def held(self) -> str:
        """Return what was read and is not final yet."""
        return self._text[self._start :]

    def search(self, text: str) -> list[Place]:
        """Add text, and return what was found in it. Raises Blocked."""
        if not self._adds_enough(text, is_last=False):
            return []
        shift = self.offset + self._read
        found, final = self._scan(text, is_last=False)
        self._release(final)
        return [(one.start + shift, one.end + shift, one.rule) for one in found]

    def ending(self) -> list[Place]:
        """Return what else would be found if the text ended here. Raises Blocked."""
        shift = self.offset + self._read
        found, _ = self._run.scanner.scan(self._text, self._start, is_complete=True)
        for finding in found:
            self._run.admit(self._field, finding)
        return [(one.start + shift, one.end + shift, one.rule) for one in found]

    def go_on(self, run: FilterRun) -> None:
        """Continue with the text of the next part, which is counted by its own search."""
        self._run = run


def _merged(found: list[Place]) -> list[Place]:
    """Return the places in order. Those that overlap become one."""
    merged: list[Place] = []
    for start, end, rule in sorted(found, key=lambda place: place[:2]):
        if merged and start < merged[-1][1]:
            first, last, of_first = merged[-1]
            merged[-1] = (first, max(last, end), of_first)
        else:
            merged.append((start, end, rule))
    return merged
