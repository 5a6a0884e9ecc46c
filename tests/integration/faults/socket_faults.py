"""Serves upstreams over raw sockets, where they may misbehave in ways that no HTTP server would."""

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

from tests.integration.faults.upstream import Act, Asked, Flood, Link, Pause, Step, Upstream


class _Connection(asyncio.Protocol):
    """Plays the answers on one connection, one request after the other."""

    def __init__(self, upstream: Upstream, made: list[_Connection]) -> None:
        self._upstream = upstream
        self._made = made
        self._link = Link(time.monotonic())
        self._pending = b""
        self._playing: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._upstream.links.append(self._link)
        self._made.append(self)

    def data_received(self, data: bytes) -> None:
        self._pending += data
        head, blank, rest = self._pending.partition(b"\r\n\r\n")
        if not blank or self._playing is not None:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        body, self._pending = rest[:length], rest[length:]
        method, path, _ = first.split(" ", 2)
        read = json.loads(body) if body else None
        asked = Asked(time.monotonic(), method, path.partition("?")[0], headers, read, self._link)
        self._playing = asyncio.get_running_loop().create_task(self._play(self._upstream.answer(asked)))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def eof_received(self) -> None:
        self._left()

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        self._link.ended_at = time.monotonic()
        self._writable.set()

    async def _play(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if self._gone.is_set():
                return
            await self._take(step)
        self._playing = None
        self.data_received(b"")

    async def _take(self, step: Step) -> None:
        match step:
            case bytes():
                await self._send(step)
            case Pause(seconds):
                await self._wait(seconds)
            case Flood(piece, times):
                while not self._gone.is_set() and not self._transport.is_closing() and times != 0:
                    await self._send(piece)
                    times = None if times is None else times - 1
            case Act.SILENCE:
                await self._gone.wait()
            case Act.CLOSE:
                self._gone.set()
                self._transport.close()
            case Act.RESET:
                self._gone.set()
                peer = self._transport.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._transport.abort()

    async def _send(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(data)
        self._link.sent += len(data)
        await self._writable.wait()
        # A flood that never had to wait would keep the loop from seeing the other side hang up.
        await asyncio.sleep(0)

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return

    def _left(self) -> None:
        if not self._gone.is_set():
            self._link.left_at = time.monotonic()
            self._gone.set()

    def hang_up(self) -> None:
        """Leave nothing behind."""
        if self._playing is not None:
            self._playing.cancel()
        self._gone.set()
        self._transport.abort()


@contextmanager
def listening(*upstreams: Upstream) -> Iterator[None]:
    """Have them answer on free ports of this machine, on a loop in a thread of their own."""
    ready, leaving = threading.Event(), asyncio.Event()

    async def serve() -> None:
        loop, connections = asyncio.get_running_loop(), list[_Connection]()
        servers = []
        for upstream in upstreams:
            connect = partial(_Connection, upstream, connections)
            servers.append(await loop.create_server(connect, "127.0.0.1", 0, ssl=upstream.tls))
            upstream.port = servers[-1].sockets[0].getsockname()[1]
        ready.set()
        await leaving.wait()
        for server in servers:
            server.close()
        for connection in connections:
            connection.hang_up()
        await asyncio.sleep(0)

    runner = asyncio.Runner()
    thread = threading.Thread(target=lambda: runner.run(serve()), name="upstreams")
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        runner.get_loop().call_soon_threadsafe(leaving.set)
        thread.join()
        runner.close()
