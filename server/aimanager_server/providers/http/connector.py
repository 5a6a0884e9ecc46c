"""Open connections: DNS lookup, happy eyeballs, TLS, and tunnels through an HTTP proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection

from .connection import HttpConnection
from .connection_errors import (
    CertificateError,
    ConnectError,
    ExchangeError,
    NameResolutionError,
    ProxyError,
    TlsHandshakeError,
)
from .dns_cache import Resolver
from .request_head import Origin

HAPPY_EYEBALLS_DELAY_SECONDS = 0.25
HANDSHAKE_TIMEOUT_SECONDS = 3600.0
"""Longer than the time limit of the caller, which covers the whole connect."""

Create = Callable[[], HttpConnection]


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later that verifies certificates against `ca_file` or the system's CAs."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy and the Proxy-Authorization header for it, empty if it needs none."""

    host: str
    port: int
    authorization: str

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Parse the URL of a proxy. Raises ProxyError unless it is one of HTTP."""
        try:
            split = urlsplit(url if "://" in url else f"http://{url}")
            port = split.port
        except ValueError as error:
            raise ProxyError(error) from error
        if split.scheme != "http" or not split.hostname:
            raise ProxyError
        credentials = f"{unquote(split.username or '')}:{unquote(split.password or '')}"
        authorization = f"Basic {b64encode(credentials.encode()).decode()}" if split.username else ""
        return cls(split.hostname, port or 80, authorization)


class Connector:
    """Open connections to origins, directly or through a proxy. Does not limit the time.

    `tls` returns the context for https origins. `proxy` is a URL.
    """

    def __init__(self, resolver: Resolver, tls: Callable[[], ssl.SSLContext], proxy: str | None = None) -> None:
        self._resolver = resolver
        self._tls = tls
        self._proxy_url = proxy

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """Return the proxy to which requests to an http origin are sent in absolute form. Raises ProxyError."""
        return self._proxy() if origin.scheme == "http" else None

    async def connect(self, origin: Origin, create: Create) -> HttpConnection:
        """Return a new connection, made by `create`. Raises ExchangeError."""
        try:
            proxy = self._proxy()
            if proxy is not None:
                return await self._connect_through(proxy, origin, create)
            connected = await self._open_socket(origin.host, origin.port)
            return await self._adopt(connected, create, origin)
        except BaseException:
            self._resolver.invalidate()
            raise

    def _proxy(self) -> Proxy | None:
        return None if self._proxy_url is None else Proxy.parse(self._proxy_url)

    async def _open_socket(self, host: str, port: int) -> socket.socket:
        try:
            addresses = await self._resolver.resolve(host, port)
        except OSError as error:
            raise NameResolutionError(error) from error
        if not addresses:
            raise NameResolutionError
        try:
            return await start_connection(addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_SECONDS, interleave=1)
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for some errors of sockets
            raise ConnectError(error) from error

    async def _adopt(self, connected: socket.socket, create: Create, origin: Origin | None) -> HttpConnection:
        """Return a connection on a connected socket, with TLS if the origin needs it."""
        loop = asyncio.get_running_loop()
        try:
            if origin is None or origin.scheme == "http":
                return (await loop.create_connection(create, sock=connected))[1]
            _, connection = await loop.create_connection(
                create,
                sock=connected,
                ssl=self._tls(),
                server_hostname=origin.server_name,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_SECONDS,
            )
        except BaseException as error:
            connected.close()
            _raise_handshake_error(error)
            raise
        return connection

    async def _connect_through(self, proxy: Proxy, origin: Origin, create: Create) -> HttpConnection:
        try:
            connected = await self._open_socket(proxy.host, proxy.port)
        except ExchangeError as error:
            raise ProxyError(error) from error
        if origin.scheme == "http":
            return await self._adopt(connected, create, None)
        loop = asyncio.get_running_loop()
        tunnel = await self._adopt(connected, lambda: HttpConnection(loop, _ignore, _ignore), None)
        try:
            await self._request_tunnel(tunnel, proxy, origin)
            connection = create()
            secured = await loop.start_tls(
                tunnel.transport,
                connection,
                self._tls(),
                server_hostname=origin.server_name,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_SECONDS,
            )
            if secured is None:
                raise TlsHandshakeError
        except BaseException as error:
            tunnel.abort()
            _raise_handshake_error(error)
            raise
        connection.connection_made(secured)
        return connection

    async def _request_tunnel(self, tunnel: HttpConnection, proxy: Proxy, origin: Origin) -> None:
        authority = origin.authority
        authorization = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\r\n"
        try:
            # Like HEAD: no body follows the headers.
            await tunnel.send(head.encode(), is_head_request=True)
        except ExchangeError as error:
            raise ProxyError(error) from error
        if tunnel.status // 100 != 2 or tunnel.closed:
            raise ProxyError


def _raise_handshake_error(error: BaseException) -> None:
    """Raise the fault that an exception of `create_connection` or `start_tls` is; return if it is none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        raise CertificateError(error) from error
    if isinstance(error, OSError):
        raise TlsHandshakeError(error) from error


def _ignore(connection: HttpConnection) -> None:
    """Tunnels are neither pooled nor counted."""
