"""Server-sent events from bytes: on the path of every token, so fast, and bounded, so safe."""

from __future__ import annotations

from typing import NamedTuple

from ...core.errors import ProviderProtocolError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """One event: its name, empty where none was given, and its data lines joined by line feeds."""

    event: str
    data: bytes


class EventStream:
    """Cuts a byte stream into events, whatever way the network split it.

    Lines end at LF, CRLF or CR and nowhere else: U+2028 and its like are legal inside JSON. `limit` bounds the bytes
    of one event. Comments, ids and unknown fields are dropped.
    https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

    >>> stream = EventStream(limit=1000)
    >>> stream.feed(b"event: ping\\ndata: {}\\n\\ndata: [DO")
    [ServerEvent(event='ping', data=b'{}')]
    >>> stream.feed(b"NE]\\n"), stream.end()
    ([], [ServerEvent(event='', data=b'[DONE]')])
    """

    __slots__ = ("_after_return", "_began", "_held", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._after_return = False
        self._began = False

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that these bytes completed. Raises ProviderProtocol where one grows beyond the limit."""
        if self._after_return or b"\r" in data:
            data = self._only_line_feeds(data)
        held = self._held
        if b"\n\n" not in data and not (data.startswith(b"\n") and held.endswith(b"\n")):
            held += data
            self._check(len(held))
            return []
        if held:
            held += data
            data = bytes(held)
            held.clear()
        *blocks, rest = data.split(b"\n\n")
        held += rest
        self._check(len(rest))
        return self._events(blocks)

    def end(self) -> list[ServerEvent]:
        """The last event, where its blank line is missing, as with some clones.

        It may have been cut, which its reader can tell: a JSON object shows its own end.
        """
        rest = bytes(self._held)
        self._held.clear()
        return self._events([rest])

    def _events(self, blocks: list[bytes]) -> list[ServerEvent]:
        if not self._began and blocks:
            self._began = True
            blocks[0] = blocks[0].removeprefix(BYTE_ORDER_MARK)
        events = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(ServerEvent("", block[6:]))
            elif (event := _event(block)) is not None:
                self._check(len(event.data))
                events.append(event)
        return events

    def _only_line_feeds(self, data: bytes) -> bytes:
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
            self._after_return = False
        if data:
            self._after_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ProviderProtocolError(f"An event of the stream is longer than the {self._limit} bytes allowed.")


def _event(block: bytes) -> ServerEvent | None:
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
    return ServerEvent(name.decode(errors="replace"), b"\n".join(lines))
