"""Responses that never touch a socket: bodies in pieces, with faults and waits between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType

import httpx

from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.chat_completions import LIMITS, answering, dialect, fixture, question

Respond = Callable[[httpx.Request], httpx.Response]
TEXT = fixture("openai/text.json")
STREAM = fixture("openai/text.sse")
SPLIT = STREAM.index(b"aus Rom")
BEGUN, REST = STREAM[:SPLIT], STREAM[SPLIT:]
SSE = {"content-type": "text/event-stream; charset=utf-8"}
PLAIN = question(provider="upstream")
STREAMED = question(provider="upstream", streaming=True)


def always(status: int = 200, content: bytes = TEXT, headers: Mapping[str, str] = MappingProxyType({})) -> Respond:
    return lambda request: httpx.Response(
        status, headers={"content-type": "application/json", **headers}, stream=Pieces(content)
    )


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; a Fault or an Event among them is raised or waited for. Knows whether it was closed."""

    def __init__(self, *pieces: bytes | Exception | asyncio.Event) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            match piece:
                case Exception():
                    raise piece
                case asyncio.Event():
                    await piece.wait()
                case _:
                    yield piece

    async def aclose(self) -> None:
        self.closed = True


def streaming(*pieces: bytes | Exception | asyncio.Event) -> tuple[HttpProvider, Pieces]:
    body = Pieces(*pieces)
    return answering(lambda request: httpx.Response(200, headers=SSE, stream=body)), body


def unreachable(request: httpx.Request) -> httpx.Response:
    raise AssertionError("nothing may be sent")


def keyless(key_variable: str = "") -> HttpProvider:
    transport = HttpxTransport(httpx.MockTransport(always()))
    return HttpProvider("up", dialect(), transport, KeyRing([], lambda: 0.0), LIMITS, key_variable=key_variable)
