"""A TLS server by hand, which can break its connection as only TLS can."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.http_servers.loopback import listening

BAD_RECORD = b"\x17\x03\x03\x00\x20" + bytes(32)
"""What no client of ours sends: whoever reads it answers with an alert."""


class AlertingServer:
    """Says `answer` to its first request, then ends the connection with a fatal alert."""

    def __init__(self, context: ssl.SSLContext, answer: bytes) -> None:
        self.port = 0
        self._context = context
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
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
        await until_done(lambda: tls.write(self._answer))
        await writer.drain()
        await asyncio.sleep(0.05)
        incoming.write(BAD_RECORD)
        with suppress(ssl.SSLError):
            await until_done(lambda: tls.read(65536))


@asynccontextmanager
async def alerting_server(context: ssl.SSLContext, answer: bytes) -> AsyncIterator[AlertingServer]:
    """A server on 127.0.0.1."""
    alerting = AlertingServer(context, answer)
    async with listening(alerting.serve) as alerting.port:
        yield alerting
