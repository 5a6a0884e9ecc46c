"""Read a streamed response of any wire: decode its events, and decide when it is complete or truncated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

from ...core.errors import ProviderProtocolError
from ...core.response import Event
from ...core.usage import Usage
from .json_codec import InvalidEventJson
from .sse import ServerSentEvent, SseDecoder

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class StreamParser(Protocol):
    """Parse the events of one response. `usage` is the usage reported so far."""

    @property
    def usage(self) -> Usage:
        """The usage reported so far."""
        ...

    def drain(self) -> list[Event]:
        """Return the events since the last drain."""
        ...

    def finish(self) -> list[Event]:
        """Complete all parts and return the last events, which end with `Finished`."""
        ...


class EventStreamReader(ABC):
    """Read one streamed response. Each wire reads its own events, everything else is common to all wires.

    A response is complete with the wire's terminal event, or with the end of the body if `may_end` says so. Bytes after
    it are ignored. A body that is JSON instead of events, such as an error object under `text/event-stream`, is
    passed to `decode_body`, the wire's reader of unstreamed responses.
    """

    __slots__ = ("_beginning", "_body", "_decode_body", "_decoder", "_has_begun", "_is_finished", "_max_event_bytes")

    terminal: ClassVar[str]
    """What the end of a response requires, for the error of a truncated one."""

    def __init__(self, max_event_bytes: int, decode_body: Callable[[bytes], list[Event]]) -> None:
        self._decoder = SseDecoder(max_event_bytes)
        self._max_event_bytes = max_event_bytes
        self._decode_body = decode_body
        self._beginning = b""
        self._body: bytearray | None = None
        self._has_begun = self._is_finished = False

    @property
    @abstractmethod
    def parser(self) -> StreamParser:
        """The parser that collects the response."""

    @property
    def usage(self) -> Usage:
        """The usage reported so far."""
        return self.parser.usage

    @property
    def is_content_complete(self) -> bool:
        """True once all content has arrived, so that a lost connection does not matter. Some wires never know."""
        return False

    @property
    def may_end(self) -> bool:
        """Whether the end of the body completes the response, although no terminal event arrived."""
        return False

    @abstractmethod
    def read_event(self, event: ServerSentEvent) -> bool:
        """Read one event. Returns whether it is the terminal event. Raises GatewayError for an error event."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events completed by `data`; none after the response has finished."""
        if self._is_finished:
            return []
        if not self._has_begun or self._body is not None:
            data = self._divert_body(data)
        return self._read(self._decoder.feed(data)) if data else []

    def end(self) -> list[Event]:
        """Return the last events. The last blank line may be missing.

        Raises ProviderProtocolError for a response that is not complete.
        """
        if self._is_finished:
            return []
        if self._body is not None:
            self._is_finished = True
            return self._decode_body(bytes(self._body))
        try:
            events = self._read(self._decoder.end())
        except InvalidEventJson as error:
            # The connection closed inside the last event.
            if not self.may_end:
                raise ProviderProtocolError("The stream ended inside an event.") from error
            events = []
        if self._is_finished:
            return events
        if not self.may_end:
            raise ProviderProtocolError(f"The stream ended without {self.terminal}.")
        self._is_finished = True
        return [*events, *self.parser.finish()]

    def _divert_body(self, data: bytes) -> bytes:
        """Keep the bytes of a body that is JSON instead of events. Returns the bytes that are events."""
        if self._body is None:
            data, self._beginning = self._beginning + data, b""
            if len(data) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(data):
                self._beginning = data
                return b""
            data = data.removeprefix(BYTE_ORDER_MARK).lstrip()
            self._has_begun = bool(data)
            if not data.startswith((b"{", b"[")):
                return data
            self._body = bytearray()
        self._body += data
        if len(self._body) > self._max_event_bytes:
            raise ProviderProtocolError(f"A stream event exceeds the limit of {self._max_event_bytes} bytes.")
        return b""

    def _read(self, received: list[ServerSentEvent]) -> list[Event]:
        for event in received:
            if self.read_event(event):
                self._is_finished = True
                return self.parser.finish()
        return self.parser.drain()
