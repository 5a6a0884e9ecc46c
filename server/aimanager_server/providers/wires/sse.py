"""Decode server-sent events from bytes, fast and in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

from ...core.errors import ProviderProtocolError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: its name, which may be empty, and its data lines joined by line feeds."""

    event: str
    data: bytes


_new_event = tuple.__new__
"""Creates a ServerSentEvent without the call of Python code that its constructor makes: one event is one token."""


class SseDecoder:
    """Decode a byte stream into events, independent of how the network split it.

    Lines end at LF, CRLF or CR only: U+2028 is legal inside JSON. Comments, ids and unknown fields are dropped.
    https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

    >>> decoder = SseDecoder(max_event_bytes=1000)
    >>> decoder.feed(b"event: ping\\ndata: {}\\n\\ndata: [DO")
    [ServerSentEvent(event='ping', data=b'{}')]
    >>> decoder.feed(b"NE]\\n"), decoder.end()
    ([], [ServerSentEvent(event='', data=b'[DONE]')])
    """

    __slots__ = ("_buffer", "_ends_with_cr", "_max_event_bytes", "_started")

    __slots__ = ("_buffer", "_ends_with_cr", "_max_event_bytes", "_started")

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._ends_with_cr = False
        self._started = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Return the events completed by `data`. Raises ProviderProtocolError if an event exceeds the limit."""
        if self._ends_with_cr or b"\r" in data:
            data = self._normalize_newlines(data)
        buffer = self._buffer
        if b"\n\n" not in data and not (data.startswith(b"\n") and buffer.endswith(b"\n")):
            buffer += data
            self._check_size(len(buffer))
            return []
        if buffer:
            buffer += data
            data = bytes(buffer)
            buffer.clear()
        *blocks, rest = data.split(b"\n\n")
        buffer += rest
        self._check_size(len(rest))
        return self._events(blocks)

    def end(self) -> list[ServerSentEvent]:
        """Return the last event if its blank line is missing, as with some servers.

        The event may be truncated. The caller detects that, because truncated JSON does not parse.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        return self._events([rest])

    def _events(self, blocks: list[bytes]) -> list[ServerSentEvent]:
        if not self._started and blocks:
            self._started = True
            blocks[0] = blocks[0].removeprefix(BYTE_ORDER_MARK)
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(_new_event(ServerSentEvent, ("", block[6:])))
            elif (event := _parse_event(block)) is not None:
                self._check_size(len(event.data))
                events.append(event)
        return events

    def _normalize_newlines(self, data: bytes) -> bytes:
        if self._ends_with_cr and data.startswith(b"\n"):
            data = data[1:]
            self._ends_with_cr = False
        if data:
            self._ends_with_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_size(self, size: int) -> None:
        if size > self._max_event_bytes:
            raise ProviderProtocolError(f"A stream event exceeds the limit of {self._max_event_bytes} bytes.")


def _parse_event(block: bytes) -> ServerSentEvent | None:
    name = b""
    lines = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    if not lines:
        return None
    return ServerSentEvent(name.decode(errors="replace"), b"\n".join(lines))
