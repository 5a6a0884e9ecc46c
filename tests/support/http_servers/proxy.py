"""An HTTP proxy with CONNECT tunnels on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.http_servers.loopback import loopback_server


class ConnectProxy:
    """Opens a tunnel to `upstream_port`, whatever host is requested.

    `status` is the response to CONNECT; empty means no response. `requests` holds the request lines, and `disconnected`
    is set when a connection ends.
    """

    def __init__(self, upstream_port: int, status: str) -> None:
        self.port = 0
        self.requests: list[str] = []
        self.disconnected = asyncio.Event()
        self._upstream_port = upstream_port
        self._status = status

    @property
    def url(self) -> str:
        """The value for HTTPS_PROXY."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.split(b"\r\n")[0].decode())
        if self._status.startswith("200"):
            await self._tunnel(reader, writer)
        elif self._status:
            writer.write(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            with suppress(ConnectionError):
                await reader.read()
        self.disconnected.set()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        try:
            await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))
        finally:
            upstream_writer.close()


@asynccontextmanager
async def connect_proxy(upstream_port: int, status: str = "200 OK") -> AsyncIterator[ConnectProxy]:
    """Run the proxy on a free port until the block ends."""
    proxy = ConnectProxy(upstream_port, status)
    async with loopback_server(proxy.serve) as proxy.port:
        yield proxy


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
