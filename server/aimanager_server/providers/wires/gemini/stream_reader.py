"""Read a streamed response of generateContent."""

from __future__ import annotations

from collections.abc import Callable

from ....core.response import Event
from ..json_codec import decode_objects
from ..sse import ServerSentEvent
from ..stream_reader import EventStreamReader
from .response_parser import GeminiParser


class GeminiStreamReader(EventStreamReader):
    """Read one streamed response. The end of the body ends it, if a finish reason proves it complete."""

    __slots__ = ("_parser",)

    terminal = "a finish reason"

    def __init__(self, max_event_bytes: int, decode_body: Callable[[bytes], list[Event]]) -> None:
        super().__init__(max_event_bytes, decode_body)
        self._parser = GeminiParser()

    @property
    def parser(self) -> GeminiParser:
        """The parser that collects the response."""
        return self._parser

    @property
    def is_content_complete(self) -> bool:
        """True once a finish reason arrived, unless content followed one."""
        return self._parser.has_finish_reason and not self._parser.is_continued

    @property
    def may_end(self) -> bool:
        """Whether a finish reason arrived."""
        return self._parser.has_finish_reason

    def read_event(self, event: ServerSentEvent) -> bool:
        """Read one chunk. Returns whether it is the `[DONE]` that some servers send after the finish reason."""
        data = event.data.strip()
        if not data:
            return False
        if data.startswith(b"[DONE]"):
            return self._parser.has_finish_reason
        for response in decode_objects(data):
            self._parser.add(response)
        return False
