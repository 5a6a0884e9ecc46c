"""HTTP providers whose responses come from a script instead of a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType

import httpx

from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.chat_completions import LIMITS, chat_wire, make_attempt, provider_responding, recorded

Respond = Callable[[httpx.Request], httpx.Response]
TEXT = recorded("openai/text.json")
STREAM = recorded("openai/text.sse")
SPLIT = STREAM.index(b"aus Rom")
STREAM_BEGINNING, STREAM_REST = STREAM[:SPLIT], STREAM[SPLIT:]
SSE = {"content-type": "text/event-stream; charset=utf-8"}
UNARY_ATTEMPT = make_attempt(provider="upstream")
STREAM_ATTEMPT = make_attempt(provider="upstream", streaming=True)


class BodyPieces(httpx.AsyncByteStream):
    """A response body in pieces. An exception among them is raised, an event is awaited."""

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


def always_respond(
    status: int = 200, content: bytes = TEXT, headers: Mapping[str, str] = MappingProxyType({})
) -> Respond:
    """Return a transport function that gives every request the same response."""
    return lambda request: httpx.Response(
        status, headers={"content-type": "application/json", **headers}, stream=BodyPieces(content)
    )


def reject_requests(request: httpx.Request) -> httpx.Response:
    """Fail the test if a request is sent."""
    raise AssertionError(f"unexpected request to {request.url}")


def streaming_provider(*pieces: bytes | Exception | asyncio.Event) -> tuple[HttpProvider, BodyPieces]:
    """Return a provider that streams the pieces, and the body that records whether it was closed."""
    body = BodyPieces(*pieces)
    return provider_responding(lambda request: httpx.Response(200, headers=SSE, stream=body)), body


def provider_without_key(api_key_env: str = "") -> HttpProvider:
    """Return a provider without an API key; `api_key_env` names the variable that could hold one."""
    transport = HttpxTransport(httpx.MockTransport(always_respond()))
    return HttpProvider("up", chat_wire(), transport, KeyPool([], lambda: 0.0), LIMITS, api_key_env=api_key_env)
