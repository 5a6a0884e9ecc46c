"""Serves upstreams over raw sockets, which can misbehave below HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from tests.integration.faults.upstream import Connection, Delay, Flood, Pause, Request, Step, Upstream
from tests.support.http_servers.raw import SocketFault

PAUSE_SECONDS = 0.01
"""How often a pause looks whether it may end."""


class _UpstreamProtocol(asyncio.Protocol):
    """Answers the requests of one connection in order."""

    def __init__(self, upstream: Upstream, protocols: list[_UpstreamProtocol]) -> None:
        self._upstream = upstream
        self._protocols = protocols
        self._connection = Connection()
        self._received = b""
        self._response: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._upstream.connections.append(self._connection)
        self._protocols.append(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        if not blank or self._response is not None:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        body, self._received = rest[:length], rest[length:]
        method, path, _ = first.split(" ", 2)
        document = json.loads(body) if body else None
        request = Request(time.monotonic(), method, path.partition("?")[0], headers, document, self._connection)
        self._response = asyncio.get_running_loop().create_task(self._play(self._upstream.respond(request)))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def eof_received(self) -> None:
        self._peer_closed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer_closed()
        self._connection.closed_at = time.monotonic()
        self._writable.set()

    async def _play(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if self._ended.is_set():
                return
            await self._perform(step)
        self._response = None
        self.data_received(b"")

    async def _perform(self, step: Step) -> None:
        match step:
            case bytes():
                await self._send(step)
            case Delay(seconds):
                await self._wait(seconds)
            case Pause(until):
                while not until.is_set() and not self._ended.is_set():
                    await self._wait(PAUSE_SECONDS)
            case Flood(data, times):
                while not self._ended.is_set() and not self._transport.is_closing() and times != 0:
                    await self._send(data)
                    times = None if times is None else times - 1
            case SocketFault.STALL:
                await self._ended.wait()
            case SocketFault.CLOSE:
                self._ended.set()
                self._transport.close()
            case SocketFault.RESET:
                self._ended.set()
                peer = self._transport.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._transport.abort()

    async def _send(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(data)
        self._connection.bytes_sent += len(data)
        await self._writable.wait()
        # Without this, a flood that never has to wait would keep the loop from noticing a closed connection.
        await asyncio.sleep(0)

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return

    def _peer_closed(self) -> None:
        if not self._ended.is_set():
            self._connection.peer_closed_at = time.monotonic()
            self._ended.set()

    def abort(self) -> None:
        """Cancel the response and abort the connection."""
        if self._response is not None:
            self._response.cancel()
        self._ended.set()
        self._transport.abort()


@contextmanager
def served_upstreams(*upstreams: Upstream) -> Iterator[None]:
    """Serve the upstreams on free ports, on an event loop in a new thread, until the block ends."""
    is_ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        loop, protocols = asyncio.get_running_loop(), list[_UpstreamProtocol]()
        servers = []
        for upstream in upstreams:
            connect = partial(_UpstreamProtocol, upstream, protocols)
            servers.append(await loop.create_server(connect, "127.0.0.1", 0, ssl=upstream.tls))
            upstream.port = servers[-1].sockets[0].getsockname()[1]
        is_ready.set()
        await stop.wait()
        for server in servers:
            server.close()
        for protocol in protocols:
            protocol.abort()
        await asyncio.sleep(0)

    runner = asyncio.Runner()
    thread = threading.Thread(target=lambda: runner.run(serve()), name="upstreams")
    thread.start()
    is_ready.wait()
    try:
        yield
    finally:
        runner.get_loop().call_soon_threadsafe(stop.set)
        thread.join()
        runner.close()
