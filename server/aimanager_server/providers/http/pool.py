"""The connections to one provider: aiohttp's pool behind the transport seam.

aiohttp costs half the processor time of httpx's pool, and written by hand every fault keeps its own cause.
"""

from __future__ import annotations

import socket
import ssl
import sys
from contextvars import ContextVar
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from ...core.errors import GatewayError, Overloaded
from ...resilience.concurrency_limiter import Gate
from ..wires.dialect import HttpRequest
from .connection_errors import fault_for, is_stale
from .dns_cache import Addresses, LookUp
from .transport import Response

IDLE_SECONDS = 15.0
"""How long an unused connection is kept. Many servers close theirs after 20 to 75 seconds: ours go first."""

KNOWN_URLS = 64
COME_AGAIN_SECONDS = 1.0

_fresh: ContextVar[bool] = ContextVar("connection_is_fresh")


class AiohttpTransport:
    """Sends requests as they are: no cookies, no redirects, nothing decompressed, nothing sent twice.

    But for one case: a pooled connection that the server had closed while idle gets one more try on another one.
    Above `max_connections` a request waits its turn, as long as opening a connection may take: `connect_timeout`
    seconds for the look-up of the name, TCP and TLS together. Raises our faults only. The pool is made in the event
    loop of the first request and belongs to it.
    """

    def __init__(
        self,
        provider: str,
        *,
        max_connections: int,
        idle_connections: int,
        connect_timeout: float,
        ca_file: Path | None = None,
        proxy: str | None = None,
        look_up: LookUp = socket.getaddrinfo,
    ) -> None:
        self._provider = provider
        self._slots = Gate(max_connections, queue_length=sys.maxsize, queue_seconds=connect_timeout)
        self._max_connections = max_connections
        self._idle_connections = idle_connections
        self._connect_timeout = connect_timeout
        self._tls = tls_context(ca_file) if ca_file is not None else None
        self._proxy = proxy
        self._look_up = look_up
        self._session: aiohttp.ClientSession | None = None
        self._url = lru_cache(maxsize=KNOWN_URLS)(partial(URL, encoded=True))

    async def send(self, request: HttpRequest) -> Response:
        """The response as soon as its headers are there."""
        await self._enter()
        try:
            response = await self._send(request)
        except BaseException:
            self._slots.leave()
            raise
        return Response(response.status, response.headers, _Body(self._provider, response, self._slots))

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _enter(self) -> None:
        if self._slots.enter() or await self._slots.wait():
            return
        busy = f"All {self._max_connections} connections to the provider were busy"
        raise Overloaded(
            f"{busy} for {self._connect_timeout:g} seconds.",
            solution="Send the call again, or have the operator raise max_connections of the provider.",
            provider=self._provider,
            retry_after=COME_AGAIN_SECONDS,
        )

    async def _send(self, request: HttpRequest) -> aiohttp.ClientResponse:
        try:
            return await self._send_once(request)
        except _Stale:
            pass
        try:
            return await self._send_once(request)
        except _Stale as stale:
            raise self._fault(stale.cause) from stale.cause

    async def _send_once(self, request: HttpRequest) -> aiohttp.ClientResponse:
        token = _fresh.set(False)
        try:
            return await self._pool().request(
                request.method,
                self._url(request.url),
                headers=request.headers,
                data=request.body or None,
                allow_redirects=False,
                proxy=self._proxy,
            )
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            if is_stale(error) and not _fresh.get():
                raise _Stale(error) from error
            raise self._fault(error) from error
        finally:
            _fresh.reset(token)

    def _fault(self, error: Exception) -> GatewayError:
        return fault_for(error, self._provider)

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = _Connector(
                self._idle_connections,
                Addresses(self._connect_timeout, self._look_up),
                limit=0,
                keepalive_timeout=IDLE_SECONDS,
                ssl=self._tls or tls_context(),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(connect=self._connect_timeout),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 and later, certificates always verified: by these authorities, or by the system's."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Stale(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


class _Connector(aiohttp.TCPConnector):
    """Notes when a connection is new, doubts addresses that led nowhere, and keeps no more idle ones than allowed."""

    def __init__(self, idle_connections: int, addresses: Addresses, **options: Any) -> None:
        super().__init__(resolver=addresses, use_dns_cache=False, **options)
        self._idle_connections = idle_connections
        self._addresses = addresses

    async def _create_connection(
        self,
        req: Any,
        traces: Any,
        timeout: Any,  # noqa: ASYNC109  the name is aiohttp's
    ) -> ResponseHandler:
        _fresh.set(True)
        try:
            return await super()._create_connection(req, traces, timeout)
        except BaseException:
            self._addresses.doubt()
            raise

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        idle = sum(len(connections) for connections in self._conns.values())
        super()._release(key, protocol, should_close=should_close or idle >= self._idle_connections)


class _Body:
    """A response's bytes, as one socket read after the other brings them."""

    def __init__(self, provider: str, response: aiohttp.ClientResponse, slots: Gate) -> None:
        self._provider = provider
        self._response = response
        self._slots: Gate | None = slots

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        content = self._response.content
        try:
            data = await content.readany()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            # What arrived before the fault still counts: it may hold the end of the answer.
            data = content._read_nowait(-1)
            if not data:
                await self.aclose()
                raise fault_for(error, self._provider) from error
        if not data:
            await self.aclose()
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Close the connection, unless the response was read to its end: then it goes back to the pool."""
        self._response.close()
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.leave()
