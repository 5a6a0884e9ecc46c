"""Reads a streamed answer of the chat-completions wire."""

from __future__ import annotations

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ....core.usage import Usage
from ..json_codec import read_json
from ..sse import EventStream, ServerEvent
from .response_parser import Answer


class ChatReader:
    """One streamed answer. A finish reason proves it complete, or `[DONE]` after a choice, for clones without one."""

    def __init__(self, line_bytes: int) -> None:
        self._stream = EventStream(line_bytes)
        self._answer = Answer()
        self._finished = False

    @property
    def usage(self) -> Usage:
        """What was counted so far."""
        return self._answer.usage

    @property
    def is_ending(self) -> bool:
        """The finish reason was said."""
        return self._answer.has_finish_reason

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes completed; nothing once the answer has finished."""
        return [] if self._finished else self._read(self._stream.feed(data))

    def end(self) -> list[Event]:
        """The last event may lack its blank line, and `[DONE]` may be missing; the finish reason may not."""
        if self._finished:
            return []
        try:
            events = self._read(self._stream.end())
        except _NotJson as error:
            # The stream was cut inside its last event.
            if not self._answer.has_finish_reason:
                raise ProviderProtocolError("The answer was cut inside an event of the stream.") from error
            events = []
        if self._finished:
            return events
        if not self._answer.has_finish_reason:
            raise ProviderProtocolError("The answer was cut: the stream ended without a finish reason.")
        return [*events, *self._finish()]

    def _read(self, received: list[ServerEvent]) -> list[Event]:
        for event in received:
            if self._take(event.data):
                return self._finish()
        return self._answer.drain()

    def _take(self, data: bytes) -> bool:
        """Whether the answer is complete with this event."""
        data = data.strip()
        if not data:
            return False
        if data.startswith(b"[DONE]"):
            if not self._answer.begun:
                raise ProviderProtocolError("The stream ended without an answer.")
            return True
        try:
            chunk = read_json(data)
        except ValueError as error:
            raise _NotJson(f"The stream holds an event that is not JSON, of {len(data)} bytes.") from error
        return isinstance(chunk, dict) and self._answer.take(chunk, "delta")

    def _finish(self) -> list[Event]:
        self._finished = True
        return self._answer.finish()


class _NotJson(ProviderProtocolError):
    """Told apart from other faults of the stream, because a cut makes one too."""
