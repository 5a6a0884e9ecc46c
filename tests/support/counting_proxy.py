"""A TCP proxy that counts the bytes it forwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass
class CountingProxy:
    """`target` leads to the server; `sent` and `received` are bytes from and to the clients."""

    target: str = ""
    sent: int = 0
    received: int = 0


@asynccontextmanager
async def counting_proxy(port: int) -> AsyncIterator[CountingProxy]:
    """Forward connections to a local port until the block ends, then cut those that are left."""
    proxy = CountingProxy()
    connections: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_sent: bool) -> None:
            while data := await source.read(65536):
                if is_sent:
                    proxy.sent += len(data)
                else:
                    proxy.received += len(data)
                sink.write(data)
                await sink.drain()
            sink.close()

        # Only the end of the block cancels it, which asyncio's callback of the connection would report as an error.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                copy(reader, upstream_writer, is_sent=True),
                copy(upstream_reader, writer, is_sent=False),
                return_exceptions=True,
            )
        upstream_writer.close()
        writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    proxy.target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
