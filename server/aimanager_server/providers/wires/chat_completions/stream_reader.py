"""Read a streamed response of the chat-completions wire."""

from __future__ import annotations

from ....core.errors import ProviderProtocolError
from ....core.response import Event
from ....core.usage import Usage
from ..json_codec import InvalidEventJson, decode_event
from ..sse import ServerSentEvent, SseDecoder
from .response_parser import ChatCompletionsParser


class ChatCompletionsStreamReader:
    """Read one streamed response.

    A finish reason proves it complete. For servers that omit one, `[DONE]` after a choice does as well.
    """

    __slots__ = ("_decoder", "_finished", "_parser")

    def __init__(self, max_line_bytes: int) -> None:
        self._decoder = SseDecoder(max_line_bytes)
        self._parser = ChatCompletionsParser()
        self._finished = False

    @property
    def usage(self) -> Usage:
        """The usage reported so far."""
        return self._parser.usage

    @property
    def is_content_complete(self) -> bool:
        """True once a finish reason arrived."""
        return self._parser.has_finish_reason

    def feed(self, data: bytes) -> list[Event]:
        """Return the events completed by `data`; none after the response has finished."""
        return [] if self._finished else self._read(self._decoder.feed(data))

    def end(self) -> list[Event]:
        """Return the last events. The last blank line and `[DONE]` may be missing, the finish reason may not."""
        if self._finished:
            return []
        try:
            events = self._read(self._decoder.end())
        except InvalidEventJson as error:
            # The connection closed inside the last event.
            if not self._parser.has_finish_reason:
                raise ProviderProtocolError("The stream ended inside an event.") from error
            events = []
        if self._finished:
            return events
        if not self._parser.has_finish_reason:
            raise ProviderProtocolError("The stream ended without a finish reason.")
        return [*events, *self._finish()]

    def _read(self, received: list[ServerSentEvent]) -> list[Event]:
        for event in received:
            if self._add(event.data):
                return self._finish()
        return self._parser.drain()

    def _add(self, data: bytes) -> bool:
        """Return whether the response is complete with this event."""
        data = data.strip()
        if not data:
            return False
        if data.startswith(b"[DONE]"):
            if not self._parser.has_started:
                raise ProviderProtocolError("The stream ended without a choice.")
            return True
        chunk = decode_event(data)
        return isinstance(chunk, dict) and self._parser.add(chunk, "delta")

    def _finish(self) -> list[Event]:
        self._finished = True
        return self._parser.finish()
