"""Collect the events of a response while it is read, to store it when it has ended."""

from __future__ import annotations

from dataclasses import replace

from ..core.content import Message, Part, Role, Text, ToolCall
from ..core.response import (
    Event,
    GenerateResult,
    PartCompleted,
    ResponseBuilder,
    ResponseMetadata,
    Restarted,
    TextDelta,
)
from ..core.stream import StreamObserver


class ResponseRecorder(StreamObserver):
    """Collects the events of a response."""

    __slots__ = ("_builder", "_metadata", "_time_to_first_token")

    def __init__(self, metadata: ResponseMetadata) -> None:
        self._builder = ResponseBuilder()
        self._metadata = metadata
        self._time_to_first_token = metadata.time_to_first_token

    def on_events(self, events: list[Event]) -> None:
        """Collect the events."""
        for event in events:
            self._builder.add(event)

    def result(self) -> GenerateResult:
        """Return the response as it is stored, without later changes: more attempts, and the times of this call."""
        result = self._builder.result(self._metadata)
        attempts = tuple(result.metadata.attempts)
        metadata = replace(result.metadata, attempts=attempts, time_to_first_token=self._time_to_first_token)
        return replace(result, metadata=metadata)


class PartialResponse(StreamObserver):
    """Collects what the caller has seen of a response, in case it never completes."""

    __slots__ = ("_completed", "_metadata", "_texts")

    def __init__(self, metadata: ResponseMetadata) -> None:
        self._metadata = metadata
        self._completed: dict[int, Part] = {}
        self._texts: dict[int, list[str]] = {}

    def on_events(self, events: list[Event]) -> None:
        """Collect the events."""
        for event in events:
            if isinstance(event, TextDelta):
                self._texts.setdefault(event.index, []).append(event.text)
            elif isinstance(event, PartCompleted):
                self._texts.pop(event.index, None)
                self._completed[event.index] = event.part
            elif isinstance(event, Restarted):
                self._metadata, self._completed, self._texts = event.metadata, {}, {}

    def message(self) -> Message | None:
        """Return the message without tool calls, which nobody can answer any more; None if it has no text."""
        texts: dict[int, Part] = {index: Text("".join(pieces)) for index, pieces in self._texts.items()}
        parts = {index: part for index, part in self._completed.items() if not isinstance(part, ToolCall)} | texts
        if not any(isinstance(part, Text) and part.text for part in parts.values()):
            return None
        ordered = tuple(parts[index] for index in sorted(parts))
        return Message(Role.ASSISTANT, ordered, self._metadata.provider, self._metadata.model)
