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
from .filter_run import Blocked, FilterRun
from .joined_parts import JoinedParts, field_of
from .json_text import filter_json
from .provider_state import with_safe_state
from .request_filter import filter_part


class ResponseFilter:
    """Filters the events of one response. With `holds_back`, nothing is returned before the end.

    Arguments of tool calls are held back until they are complete, and with `is_json` texts until the end, since their
    JSON must stay valid. `blocked` tells why the response was blocked; what had been returned by then ends there.
    """

    def __init__(self, run: FilterRun, *, holds_back: bool, is_json: bool) -> None:
        self.blocked: Blocked | None = None
        self._run = run
        self._holds_back = holds_back
        self._is_json = is_json
        self._held: list[Event] = []
        self._begin()

    @property
    def held_json(self) -> int:
        """Return how many characters of JSON are filtered at the end."""
        return sum(len(event.part.text) for event in self._json if isinstance(event.part, Text))

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
                    passed += [*self._reasoning.cut(), *self._texts.cut()]
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
        self._begin()
        self._held, self.blocked = [], None
        self._run.restart()

    def _begin(self) -> None:
        self._texts, self._reasoning = JoinedParts(self._run, Text), JoinedParts(self._run, Reasoning)
        self._with_deltas: set[int] = set()
        """Parts whose deltas are held back until they are complete."""
        self._json: list[PartCompleted] = []

    def _filtered(self, event: Event) -> list[Event]:
        match event:
            case TextDelta(index, text):
                if not self._is_json:
                    return self._texts.add(index, text)
                self._with_deltas.add(index)
                return []
            case ReasoningDelta(index, text):
                return self._reasoning.add(index, text)
            case ToolCallDelta():
                self._with_deltas.add(event.index)
                return [replace(event, arguments_json="")] if event.id or event.name else []
            case PartCompleted():
                return self._completed(event)
            case Finished():
                return [*self._rest(), self._finished(event)]
        return [event]

    def _completed(self, event: PartCompleted) -> list[Event]:
        match event.part:
            case Text() if self._is_json:
                self._json.append(event)
                return []
            case Text():
                return self._texts.complete(event)
            case Reasoning():
                return self._reasoning.complete(event)
        return self._with_preview(event.index, filter_part(self._run, field_of(event.index), event.part))

    def _with_preview(self, index: int, part: Part) -> list[Event]:
        """Return a part after the delta that was held back."""
        preview: list[Event] = []
        if index in self._with_deltas:
            if isinstance(part, ToolCall):
                preview = [ToolCallDelta(index, "", "", part.arguments_json)]
            elif isinstance(part, Text) and part.text:
                preview = [TextDelta(index, part.text)]
        return [*preview, PartCompleted(index, part)]

    def _rest(self) -> list[Event]:
        """Return what was held back until no more parts can follow."""
        parts = [(event.index, event.part) for event in self._json]
        texts = [part.text for _, part in parts if isinstance(part, Text)]
        joined = "".join(texts)
        if len(texts) > 1 and (filtered := filter_json(self._run, field_of(parts[0][0]), joined)) != joined:
            # One JSON text, which no longer has the borders of its parts.
            json_parts = [Text(filtered), *(Text("") for _ in texts[1:])]
        else:
            json_parts = [self._json_part(index, part) for index, part in parts if isinstance(part, Text)]
        events = [*self._reasoning.finish(), *self._texts.finish()]
        for (index, _), text in zip(parts, json_parts, strict=True):
            events += self._with_preview(index, text)
        return events

    def _json_part(self, index: int, part: Text) -> Text:
        text = filter_json(self._run, field_of(index), part.text)
        if text != part.text:
            return Text(text)
        safe = with_safe_state(self._run, field_of(index), part)
        assert isinstance(safe, Text)
        return safe

    def _finished(self, event: Finished) -> Finished:
        if not event.structured_json:
            return event
        filtered = self._run.uncounted(filter_json, "message", event.structured_json)
        return replace(event, structured_json=filtered)
