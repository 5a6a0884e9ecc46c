"""The seam all I/O with providers passes: one request out, one response with its body still on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx

from ...core.errors import ProviderProtocolError, ProviderUnreachable
from ..wires.dialect import HttpRequest


class Body(Protocol):
    """A response's bytes, as one read after the other brings them. Raises our faults only."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces; read once."""
        ...

    async def aclose(self) -> None:
        """Let go of the connection. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """A response as soon as its headers are there. Whoever gets it closes its body; `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: Body


class Transport(Protocol):
    """Sends requests as they are: no cookies, no redirects, nothing decompressed."""

    async def send(self, request: HttpRequest) -> Response:
        """The response. Raises our faults only."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class HttpxTransport:
    """Any httpx transport at this seam: a recording one, `httpx.MockTransport`, one over a socket of your own."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def send(self, request: HttpRequest) -> Response:
        """The response of the httpx transport."""
        outgoing = httpx.Request(request.method, request.url, headers=dict(request.headers), content=request.body)
        try:
            response = await self._transport.handle_async_request(outgoing)
        except (httpx.NetworkError, httpx.TimeoutException) as error:
            raise ProviderUnreachable(f"No connection to the provider: {type(error).__name__}.") from error
        except httpx.TransportError as error:
            raise ProviderProtocolError(f"The exchange with the provider failed: {type(error).__name__}.") from error
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return Response(response.status_code, response.headers, response.stream)

    async def aclose(self) -> None:
        """Close the httpx transport."""
        await self._transport.aclose()


class PooledTransport(httpx.AsyncBaseTransport):
    """The other way round: a transport of ours for those who speak httpx, such as plug-ins."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response as soon as its headers are there. Raises our faults."""
        await request.aread()
        sent = HttpRequest(request.method, str(request.url), dict(request.headers), request.content)
        response = await self._transport.send(sent)
        stream = _Stream(response.body)
        return httpx.Response(response.status, headers=list(response.headers.items()), stream=stream, request=request)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def aclose(self) -> None:
        await self._body.aclose()
