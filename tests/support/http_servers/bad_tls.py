"""A TLS server that ends its connections with a fatal alert."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.http_servers.loopback import loopback_server

BAD_RECORD = b"\x17\x03\x03\x00\x20" + bytes(32)
"""A record that no client sends: reading it makes the TLS stack send an alert."""


class AlertingServer:
    """Sends `response` to its first request, then ends the connection with a fatal alert."""

    def __init__(self, context: ssl.SSLContext, response: bytes) -> None:
        self.port = 0
        self._context = context
        self._response = response

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)

        async def until_done(step: Callable[[], Any]) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))
                finally:
                    writer.write(outgoing.read())

        await until_done(tls.do_handshake)
        await until_done(lambda: tls.read(65536))
        await until_done(lambda: tls.write(self._response))
        await writer.drain()
        await asyncio.sleep(0.05)
        incoming.write(BAD_RECORD)
        with suppress(ssl.SSLError):
            await until_done(lambda: tls.read(65536))


@asynccontextmanager
async def alerting_server(context: ssl.SSLContext, response: bytes) -> AsyncIterator[AlertingServer]:
    """Run the server on a free port until the block ends."""
    server = AlertingServer(context, response)
    async with loopback_server(server.serve) as server.port:
        yield server
