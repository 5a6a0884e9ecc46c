"""Define the transport of all HTTP requests to providers, and implement it with a connection pool and over httpx."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import inf
from typing import Any, Protocol, TypeVar

import httpx

from ...core.errors import GatewayError
from ...core.value import dataclass
from ..wires.wire import HttpRequest
from .connection import HttpConnection
from .connection_errors import ExchangeError, InvalidUrlError, from_httpx_error, to_httpx_error
from .connector import Connector, tls_context
from .dns_cache import CachingResolver, Resolver
from .headers import join_headers
from .pool import ConnectionPool, Timeouts
from .request_head import Endpoint, encode_head, endpoint_of, parse_url

URL_CACHE_SIZE = 64

Result = TypeVar("Result")


class ResponseBody(Protocol):
    """The bytes of a response."""

    async def read(self, deadline: float = inf) -> bytes:
        """Return the bytes that have arrived since the last read; empty at the end.

        Raises GatewayError, and TimeoutError at `deadline`, which is on the clock of the event loop.
        """
        ...

    async def aclose(self, linger: float = 0.0) -> None:
        """Release the connection. Idempotent. It is reusable if the response is complete within `linger` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """A response whose headers have arrived. The receiver must close `body`.

    The names of `headers` are in lower case; the values of repeated headers are joined by commas.
    """

    status: int
    headers: Mapping[str, str]
    body: ResponseBody


class Transport(Protocol):
    """Sends requests unmodified: without cookies, redirects or decompression."""

    async def send(self, request: HttpRequest, deadline: float = inf) -> Response:
        """Return the response as soon as its headers have arrived. Raises GatewayError, and TimeoutError at `deadline`.

        `deadline` is on the clock of the event loop.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class HttpTransport(httpx.AsyncBaseTransport):
    """Send requests over a pool of HTTP/1.1 connections, through `send` or as a transport of httpx.

    A request is sent once, except on a pooled connection that the server closed while it was idle. If all
    `max_connections` are in use, a request waits up to `connect_timeout` seconds, which is also the limit for the DNS
    lookup, TCP and TLS handshakes together. Belongs to the event loop of the first request.
    """

    def __init__(
        self,
        provider: str,
        *,
        max_connections: int,
        max_idle_connections: int,
        connect_timeout: float,
        tls: Callable[[], ssl.SSLContext] | None = None,
        proxy: str | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._provider = provider
        self._resolver = resolver or CachingResolver(connect_timeout)
        self._connector = Connector(self._resolver, tls or cache(tls_context), proxy)
        self.pool = ConnectionPool(
            self._connector,
            max_connections=max_connections,
            max_idle_connections=max_idle_connections,
            connect_timeout=connect_timeout,
        )
        self._parse_url = lru_cache(maxsize=URL_CACHE_SIZE)(parse_url)

    @property
    def dns_entries(self) -> int:
        """Number of names whose addresses are cached."""
        return self._resolver.entries if isinstance(self._resolver, CachingResolver) else 0

    async def send(self, request: HttpRequest, deadline: float = inf) -> Response:
        """Return the response as soon as its headers have arrived. Raises GatewayError, and TimeoutError at `deadline`.

        The URL is sent unchanged.
        """
        try:
            endpoint = self._parse_url(request.url)
            head = self._encode_head(request.method, endpoint, request.headers.items(), request.body)
            connection = await self.pool.exchange(
                endpoint.origin, head, request.body, deadline, is_head_request=request.method == "HEAD"
            )
        except ExchangeError as error:
            raise error.gateway_error(self._provider) from error
        return Response(
            connection.status, join_headers(connection.headers), _PooledBody(self.pool, connection, self._provider)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response as soon as its headers have arrived. Raises httpx's exceptions.

        Of `request.extensions`, `timeout` further limits the wait for a connection, the connect, the wait for the
        headers (`read` and `write` together) and each read; `sni_hostname` and `target` are those of httpcore. For a
        pinned address, pass a URL with the address as host, a Host header, and `sni_hostname`.
        """
        body = await request.aread()
        timeout: Mapping[str, float | None] = request.extensions.get("timeout", {})
        read_timeout = _seconds(timeout, "read")
        response_timeout = read_timeout + _seconds(timeout, "write")
        timeouts = Timeouts(_seconds(timeout, "pool"), _seconds(timeout, "connect"), response_timeout)
        try:
            endpoint = endpoint_of(request)
            headers = [(_decode(name), _decode(value)) for name, value in request.headers.raw]
            head = self._encode_head(request.method, endpoint, headers, body)
            is_head = request.method == "HEAD"
            connection = await self.pool.exchange(
                endpoint.origin, head, body, is_head_request=is_head, timeouts=timeouts
            )
        except ExchangeError as error:
            raise to_httpx_error(error, request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout("The response did not begin in time.", request=request) from error
        stream = _PooledStream(_PooledBody(self.pool, connection, self._provider), read_timeout, request)
        extensions = {"http_version": b"HTTP/1.1"}
        return httpx.Response(
            connection.status, headers=connection.headers, stream=stream, request=request, extensions=extensions
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self.pool.aclose()

    def _encode_head(self, method: str, endpoint: Endpoint, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
        origin, target, host_header = endpoint
        proxy = self._connector.proxy_for(origin)
        if proxy is None:
            return encode_head(method, target, host_header, headers, body)
        if proxy.authorization:
            headers = [*headers, ("Proxy-Authorization", proxy.authorization)]
        return encode_head(method, f"http://{host_header}{target}", host_header, headers, body)


class HttpxTransport:
    """Use any httpx transport as a Transport, such as HttpTransport, `httpx.MockTransport` or one that records.

    Requests go through an `httpx.AsyncClient` without redirects, cookies, timeouts, or settings of the environment.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._client = open_client(transport)

    async def send(self, request: HttpRequest, deadline: float = inf) -> Response:
        """Send the request. Exceptions of httpx are translated to GatewayError."""
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        try:
            outgoing = httpx.Request(request.method, request.url, headers=headers, content=request.body)
            response = await _within(deadline, self._client.send(outgoing, stream=True))
        except httpx.TransportError as error:
            raise from_httpx_error(error) from error
        except httpx.InvalidURL as error:
            raise InvalidUrlError(error).gateway_error("") from error
        return Response(response.status_code, dict(response.headers.items()), _HttpxBody(response))

    async def aclose(self) -> None:
        """Close the httpx transport."""
        await self._client.aclose()


def open_client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """Return a client without redirects, cookies, timeouts, or settings of the environment."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        transport=transport, cookies=no_cookies, timeout=None, trust_env=False, follow_redirects=False
    )


class _PooledBody:
    """The body of a response on a pooled connection."""

    __slots__ = ("_connection", "_pool", "_provider")

    def __init__(self, pool: ConnectionPool, connection: HttpConnection, provider: str) -> None:
        self._pool = pool
        self._connection: HttpConnection | None = connection
        self._provider = provider

    async def read(self, deadline: float = inf) -> bytes:
        """Return the bytes that have arrived since the last read; empty at the end."""
        connection = self._connection
        if connection is None:
            return b""
        if deadline != connection.deadline:
            self._pool.set_deadline(connection, deadline)
        try:
            data = await connection.read()
        except TimeoutError:
            self.release()
            raise
        except ExchangeError as error:
            self.release()
            raise error.gateway_error(self._provider) from error
        if connection.is_exhausted:
            self.release()
        return data

    async def aclose(self, linger: float = 0.0) -> None:
        """Release the connection."""
        self.release(linger)

    def release(self, linger: float = 0.0) -> None:
        """Release the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection, linger)


class _PooledStream(httpx.AsyncByteStream):
    """The body of a response on a pooled connection, for httpx."""

    def __init__(self, body: _PooledBody, read_timeout: float, request: httpx.Request) -> None:
        self._body = body
        self._read_timeout = read_timeout
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._body.read(asyncio.get_running_loop().time() + self._read_timeout):
                yield data
        except GatewayError as error:
            cause = error.__cause__
            if not isinstance(cause, ExchangeError):
                raise
            raise to_httpx_error(cause, self._request) from cause
        except TimeoutError as error:
            raise httpx.ReadTimeout("No data arrived in time.", request=self._request) from error

    async def aclose(self) -> None:
        self._body.release()


class _HttpxBody:
    """The body of a response of httpx, not decompressed."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._chunks = aiter(response.stream)

    async def read(self, deadline: float = inf) -> bytes:
        """Return the next bytes; empty at the end."""
        try:
            return await _within(deadline, self._next())
        except httpx.TransportError as error:
            raise from_httpx_error(error) from error

    async def _next(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""

    async def aclose(self, linger: float = 0.0) -> None:
        """Read up to `linger` seconds to the end, since httpx reuses a connection only then, and close the response."""
        try:
            if linger > 0.0:
                await self._drain(asyncio.get_running_loop().time() + linger)
        finally:
            await self._response.aclose()

    async def _drain(self, deadline: float) -> None:
        with suppress(GatewayError, TimeoutError):
            while await self.read(deadline):
                pass


async def _within(deadline: float, work: Coroutine[Any, Any, Result]) -> Result:
    if deadline == inf:
        return await work
    async with asyncio.timeout_at(deadline):
        return await work


def _seconds(timeout: Mapping[str, float | None], name: str) -> float:
    seconds = timeout.get(name)
    return inf if seconds is None else seconds


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
