"""A server on a raw socket that answers exactly the bytes it is told to, and misbehaves where it is told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto


class Act(Enum):
    """What a server can do but send bytes."""

    CLOSE = auto()
    RESET = auto()
    SILENCE = auto()


Step = bytes | Act


def http(
    body: bytes, status: str = "200 OK", content_type: str = "application/json", headers: tuple[str, ...] = ()
) -> bytes:
    """A whole response with its length."""
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes, content_type: str = "text/event-stream", end: bool = True) -> bytes:
    """A response in chunks, with or without its end."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + (b"0\r\n\r\n" if end else b"")


@dataclass
class RawServer:
    """What was asked of it. `gone` is set when a client hangs up while the server is silent."""

    answers: list[tuple[Step, ...]]
    port: int = 0
    scheme: str = "http"
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        self.requests.append(head + await reader.readexactly(length))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        self.asked.set()
        for step in answer:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case Act.CLOSE:
                    return False
                case Act.RESET:
                    peer = writer.get_extra_info("socket")
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return False
                case Act.SILENCE:
                    with suppress(ConnectionError):
                        await reader.read()
                    self.gone.set()
                    return False
        return True


@asynccontextmanager
async def raw_server(*answers: tuple[Step, ...], tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """One answer a request, the last for ever. Every connection is closed at the end."""
    served = RawServer(list(answers), scheme="https" if tls else "http")
    open_tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        try:
            await served.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            open_tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in list(open_tasks):
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        await server.wait_closed()
