"""Filter the events of a response: masked as they arrive, or held back until all of it is checked."""

from __future__ import annotations

from dataclasses import replace

from ..core.content import Part, Reasoning, Text, ToolCall
from ..core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from .filter_run import Blocked, FilterRun, TextFilter
from .json_text import filter_json
from .request_filter import filter_part, with_safe_state


class ResponseFilter:
    """Filters the events of one response. With `holds_back`, nothing is returned before the end.

    Arguments of tool calls and, with `is_json`, texts are held back until they are complete, since their JSON must stay
    valid. `blocked` tells why the response was blocked; what had been returned by then ends where it was.
    """

    def __init__(self, run: FilterRun, *, holds_back: bool, is_json: bool) -> None:
        self.blocked: Blocked | None = None
        self._run = run
        self._holds_back = holds_back
        self._is_json = is_json
        self._open: dict[int, _OpenPart] = {}
        self._held: list[Event] = []

    def filter(self, events: list[Event]) -> list[Event]:
        """Return the events to pass on now, which may be none."""
        passed: list[Event] = []
        for event in events:
            if isinstance(event, Restarted):
                self._restart()
                passed.append(event)
            elif self.blocked is None:
                try:
                    passed += self._filtered(event)
                except Blocked as blocked:
                    self.blocked = blocked
                    passed += self._completions()
            if isinstance(event, Finished) and self.blocked is not None:
                passed = [] if self._holds_back else passed
                passed.append(replace(event, reason=FinishReason.CONTENT_FILTER, structured_json=""))
        return self._passed(passed)

    def _passed(self, events: list[Event]) -> list[Event]:
        if not self._holds_back:
            return events
        self._held += events
        if not any(isinstance(event, Finished) for event in events):
            return []
        held, self._held = self._held, []
        return held[-1:] if self.blocked is not None else held

    def _restart(self) -> None:
        self._open, self._held, self.blocked = {}, [], None
        self._run.restart()

    def _filtered(self, event: Event) -> list[Event]:
        match event:
            case TextDelta(index, text):
                return [TextDelta(index, filtered)] if (filtered := self._part(index, Text).feed(text)) else []
            case ReasoningDelta(index, text):
                filtered = self._part(index, Reasoning).feed(text)
                return [ReasoningDelta(index, filtered)] if filtered else []
            case ToolCallDelta():
                self._part(event.index, ToolCall)
                return [replace(event, arguments_json="")] if event.id or event.name else []
            case PartCompleted():
                return self._completed(event)
            case Finished(structured_json=str(structured)) if structured:
                return [replace(event, structured_json=self._run.uncounted(filter_json, "message", structured))]
        return [event]

    def _part(self, index: int, kind: type[Part]) -> _OpenPart:
        part = self._open.get(index)
        if part is None:
            is_whole = kind is ToolCall or (kind is Text and self._is_json)
            part = self._open[index] = _OpenPart(self._run, _field(index), kind, is_whole=is_whole)
        return part

    def _completed(self, event: PartCompleted) -> list[Event]:
        index, part, opened = event.index, event.part, self._open.pop(event.index, None)
        if opened is None or opened.is_whole or not isinstance(part, Text | Reasoning) or opened.read != len(part.text):
            filtered = self._whole(index, part)
            return [*_previews(index, filtered, opened), PartCompleted(index, filtered)]
        rest = opened.feed("", is_last=True)
        text = opened.text
        filtered = part if text == part.text else replace(part, text=text, provider_state=b"")
        filtered = with_safe_state(self._run, _field(index), filtered)
        preview = TextDelta(index, rest) if isinstance(part, Text) else ReasoningDelta(index, rest)
        return [*([preview] if rest else []), PartCompleted(index, filtered)]

    def _whole(self, index: int, part: Part) -> Part:
        field = _field(index)
        if isinstance(part, Text) and self._is_json:
            text = filter_json(self._run, field, part.text)
            return part if text == part.text else Text(text)
        return filter_part(self._run, field, part)

    def _completions(self) -> list[Event]:
        """Complete what the reader has seen the beginning of."""
        opened, self._open = self._open, {}
        return [PartCompleted(index, part.seen()) for index, part in opened.items() if part.kind is not ToolCall]


class _OpenPart:
    __slots__ = ("_pieces", "_stream", "is_whole", "kind", "read")

    def __init__(self, run: FilterRun, field: str, kind: type[Part], *, is_whole: bool) -> None:
        self.kind = kind
        self.is_whole = is_whole
        self.read = 0
        self._stream = TextFilter(run, field)
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def feed(self, text: str, *, is_last: bool = False) -> str:
        self.read += len(text)
        if self.is_whole:
            return ""
        piece = self._stream.feed(text, is_last=is_last)
        self._pieces.append(piece)
        return piece

    def seen(self) -> Part:
        return Reasoning(self.text) if self.kind is Reasoning else Text(self.text)


def _previews(index: int, part: Part, opened: _OpenPart | None) -> list[Event]:
    """Return the delta of a part whose deltas were held back."""
    if opened is None or not opened.is_whole:
        return []
    if isinstance(part, ToolCall):
        return [ToolCallDelta(index, "", "", part.arguments_json)]
    return [TextDelta(index, part.text)] if isinstance(part, Text) and part.text else []


def _field(index: int) -> str:
    return f"message.parts[{index}]"
