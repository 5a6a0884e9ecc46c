"""Read a streamed response of the chat-completions wire."""

from __future__ import annotations

from collections.abc import Callable

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ..json_codec import decode_objects
from ..sse import ServerSentEvent
from ..stream_reader import EventStreamReader
from .response_parser import ChatCompletionsParser


class ChatCompletionsStreamReader(EventStreamReader):
    """Read one streamed response.

    `[DONE]` ends it, or the end of the body after a finish reason. For servers that omit the finish reason, `[DONE]`
    after a choice proves it complete as well.
    """

    __slots__ = ("_parser",)

    terminal = "a finish reason"

    def __init__(self, max_event_bytes: int, decode_body: Callable[[bytes], list[Event]]) -> None:
        super().__init__(max_event_bytes, decode_body)
        self._parser = ChatCompletionsParser()

    @property
    def parser(self) -> ChatCompletionsParser:
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
        """Read one chunk. Returns whether it is `[DONE]`."""
        data = event.data.strip()
        if not data:
            return False
        if data.startswith(b"[DONE]"):
            if not self._parser.has_started:
                raise ProviderProtocolError("The stream ended without a choice.")
            return True
        for chunk in decode_objects(data):
            self._parser.add(chunk, "delta")
        return False
