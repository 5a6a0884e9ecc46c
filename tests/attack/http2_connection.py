"""An HTTP/2 connection that sends any frames, and counts the frames it receives."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    GRPC_HEADERS,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    header_field,
)

FRAME_NAMES = {DATA: "DATA", HEADERS: "HEADERS", RST_STREAM: "RST_STREAM", GOAWAY: "GOAWAY"}
DRAIN_SECONDS = 1.0
CANCEL = struct.pack(">I", 8)
Header = tuple[bytes, bytes]


def call_headers(path: str, *headers: Header) -> bytes:
    """Return the encoded headers of a call."""
    fields = (*GRPC_HEADERS, (b":path", path.encode()), *headers)
    return b"".join(header_field(name, value) for name, value in fields)


def authorization(metadata: tuple[tuple[str, str], ...]) -> tuple[Header, ...]:
    """Return the metadata of a caller as headers."""
    return tuple((name.encode(), value.encode()) for name, value in metadata)


class Http2Connection:
    """A client's side of a connection. `received` counts frames by name, of those that matter here.

    It acknowledges what HTTP/2 requires it to. `is_closed` is set once the server closes it or says that it will.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next_stream = 1
        self._open_streams: set[int] = set()
        self.received: Counter[str] = Counter()
        self.is_closed = False
        self._task = asyncio.ensure_future(self._read())
        self.send(PREFACE + frame(SETTINGS, 0, 0, b""))

    @property
    def open_streams(self) -> int:
        """Number of streams that the server has not ended."""
        return 0 if self.is_closed else len(self._open_streams)

    def send(self, frames: bytes) -> None:
        """Send encoded frames."""
        self._writer.write(frames)

    def open_stream(self, headers: bytes) -> int:
        """Send encoded headers of a call and return its stream."""
        stream = self._next_stream
        self._next_stream += 2
        self._open_streams.add(stream)
        self.send(frame(HEADERS, END_HEADERS, stream, headers))
        return stream

    def reset(self, stream: int) -> None:
        """Cancel a call."""
        self._open_streams.discard(stream)
        self.send(frame(RST_STREAM, 0, stream, CANCEL))

    async def drain(self) -> None:
        """Wait until the socket takes more. Sets `is_closed` if the connection is lost or the server reads nothing."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._writer.drain()
        except (ConnectionError, TimeoutError):
            self.is_closed = True
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close the connection at once."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._writer.transport.abort()

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                self._handle(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.is_closed = True

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in FRAME_NAMES:
            self.received[FRAME_NAMES[kind]] += 1
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.is_closed = True
        elif kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self._open_streams.discard(stream)


@asynccontextmanager
async def open_connection(port: int) -> AsyncIterator[Http2Connection]:
    """Open a connection until the block ends."""
    connection = Http2Connection(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield connection
    finally:
        await connection.aclose()
