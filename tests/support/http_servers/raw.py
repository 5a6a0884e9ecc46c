"""A server on a raw socket that sends prepared bytes and can misbehave below HTTP."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto


class SocketFault(Enum):
    """A fault of a connection: an orderly close, a TCP reset, or silence until the peer closes."""

    CLOSE = auto()
    RESET = auto()
    STALL = auto()


Step = bytes | SocketFault


def http_response(
    body: bytes, status: str = "200 OK", content_type: str = "application/json", headers: tuple[str, ...] = ()
) -> bytes:
    """Return a complete response with Content-Length."""
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def chunked_response(*chunks: bytes, content_type: str = "text/event-stream", end: bool = True) -> bytes:
    """Return a chunked response; without `end`, the last chunk is missing."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + (b"0\r\n\r\n" if end else b"")


@dataclass
class RawServer:
    """Plays one script per request, the last one for all further requests.

    `disconnected` is set when a client closes its connection during a stall.
    """

    scripts: list[tuple[Step, ...]]
    port: int = 0
    scheme: str = "http"
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    request_received: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while await self._respond(reader, writer):
                pass
        writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        self.requests.append(head + await reader.readexactly(length))
        script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
        self.request_received.set()
        for step in script:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case SocketFault.CLOSE:
                    return False
                case SocketFault.RESET:
                    peer = writer.get_extra_info("socket")
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return False
                case SocketFault.STALL:
                    with suppress(ConnectionError):
                        await reader.read()
                    self.disconnected.set()
                    return False
        return True


@asynccontextmanager
async def raw_server(*scripts: tuple[Step, ...], tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve the scripts on a free port until the block ends, then close every connection."""
    raw = RawServer(list(scripts), scheme="https" if tls else "http")
    open_tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        try:
            await raw.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            open_tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for task in list(open_tasks):
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        await server.wait_closed()
