"""A proxy that tunnels, on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.http_servers.loopback import listening


class ConnectProxy:
    """Opens a tunnel to `upstream_port` for whatever name is asked for; `status` is what it says to CONNECT."""

    def __init__(self, upstream_port: int, status: str) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.gone = asyncio.Event()
        self._upstream_port = upstream_port
        self._status = status

    @property
    def url(self) -> str:
        """What HTTPS_PROXY would hold."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One tunnel. Without a status it is silent."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        if self._status.startswith("200"):
            await self._tunnel(reader, writer)
        elif self._status:
            writer.write(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            with suppress(ConnectionError):
                await reader.read()
        self.gone.set()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, onward = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        try:
            await asyncio.gather(_pass_on(reader, onward), _pass_on(answers, writer))
        finally:
            onward.close()


@asynccontextmanager
async def connect_proxy(upstream_port: int, status: str = "200 OK") -> AsyncIterator[ConnectProxy]:
    """Listens until the block ends."""
    proxy = ConnectProxy(upstream_port, status)
    async with listening(proxy.serve) as proxy.port:
        yield proxy


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
