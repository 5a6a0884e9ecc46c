"""Fetch files from URLs in requests without giving callers access to the gateway's own network."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import httpx

from ..http.connection_errors import CertificateError
from ..http.connector import tls_context
from ..http.dns_cache import PinnedResolver
from ..http.request_head import PRINTABLE_ASCII
from ..http.transport import HttpTransport, open_client
from .checks import FetchExpectation
from .public_addresses import is_public

FETCH_TIMEOUT_SECONDS = 30.0
"""The limit for one file, even if the deadline of the call is later."""

HEADERS = {"User-Agent": "aimanager", "Accept-Encoding": "identity", "Connection": "close"}

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\\]")
"""Not valid in a URL, although parsers accept them. They disagree on where the host ends at a backslash."""

HOST_PATTERN = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
NUMERIC_HOST_PATTERN = re.compile(r"(?:.*\.)?(?:\d+|0[xX][0-9A-Fa-f]*)\.?")
"""A host that some parsers read as an IPv4 address. It is accepted only in the form that all parsers agree on."""

ResolveHost = Callable[[str, int, str], Awaitable[Sequence[str]]]
"""Return the IP addresses of a host for a port. Raises OSError. The last argument is the name of the caller."""


class FileUrl(NamedTuple):
    """The parts of an https URL. `target` is the path and query as given."""

    host: str
    port: int
    target: str

    def origin(self) -> httpx.URL:
        """Return the URL without path and query, which may hold a signature and must not be logged."""
        return httpx.URL(scheme="https", host=self.host, port=self.port)


class HttpsFetcher:
    """Fetch files over https from the allowed ports of allowed IP addresses.

    Each host is resolved once and the connection pinned to the checked addresses, which defeats DNS rebinding.
    Redirects are not followed; cookies, credentials and proxies are not used; connections are not reused.
    """

    def __init__(
        self,
        resolve: ResolveHost,
        *,
        allowed_ports: frozenset[int] = frozenset({443}),
        tls: ssl.SSLContext | None = None,
        is_allowed: Callable[[str], bool] = is_public,
        timeout: float = FETCH_TIMEOUT_SECONDS,
    ) -> None:
        self._allowed_ports = allowed_ports
        self._tls = tls or tls_context()
        self._resolve = resolve
        self._is_allowed = is_allowed
        self._timeout = timeout

    async def __call__(self, uri: str, mime_type: str, max_bytes: int, field: str, caller: str) -> bytes:
        """Return the bytes of the file for a caller. Raises InvalidRequest or PayloadTooLarge that names `field`."""
        expectation = FetchExpectation(field, mime_type, max_bytes)
        try:
            async with asyncio.timeout(self._timeout):
                url = self._parse(uri, expectation)
                addresses = await self._resolve_allowed(url, caller, expectation)
                data = await self._download(url, addresses, expectation)
        except TimeoutError as error:
            raise expectation.rejected(f"must return the whole file within {self._timeout:g} s") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            if isinstance(error.__cause__, CertificateError):
                raise expectation.rejected("must be on a server with a valid TLS certificate") from error
            raise expectation.rejected(
                "could not be fetched: the connection failed or the response is not valid HTTP"
            ) from error
        expectation.check_content(data)
        return data

    def _parse(self, uri: str, expectation: FetchExpectation) -> FileUrl:
        try:
            if CONTROL_CHARACTERS.search(uri):
                raise ValueError("control character")
            url = urlsplit(uri)
            host, port = url.hostname or "", url.port or 443
        except ValueError:
            raise expectation.rejected("must be a valid URL") from None
        if url.scheme != "https" or "@" in url.netloc:
            raise expectation.rejected("must be an https URL without user name or password")
        if port not in self._allowed_ports:
            allowed = ", ".join(map(str, sorted(self._allowed_ports)))
            raise expectation.rejected(f"must use port {allowed}, got {port}")
        if not HOST_PATTERN.fullmatch(host) or (NUMERIC_HOST_PATTERN.fullmatch(host) and not _is_ip(host)):
            raise expectation.rejected("must have a DNS name or an IP address in standard notation as its host")
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return FileUrl(host, port, quote(target, safe=PRINTABLE_ASCII))

    async def _resolve_allowed(self, url: FileUrl, caller: str, expectation: FetchExpectation) -> Sequence[str]:
        """Return the addresses if all are allowed.

        One message covers all failures, so that a caller cannot probe the names of the gateway's network.
        """
        try:
            addresses = (url.host,) if _is_ip(url.host) else await self._resolve(url.host, url.port, caller)
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise expectation.rejected("must have a host on the public internet")
        return addresses

    async def _download(self, url: FileUrl, addresses: Sequence[str], expectation: FetchExpectation) -> bytes:
        transport = HttpTransport(
            "attachments",
            max_connections=1,
            max_idle_connections=0,
            connect_timeout=self._timeout,
            tls=lambda: self._tls,
            resolver=PinnedResolver(addresses),
        )
        headers = {**HEADERS, "Accept": expectation.mime_type}
        request = httpx.Request("GET", url.origin(), headers=headers, extensions={"target": url.target.encode()})
        async with open_client(transport) as client:
            response = await client.send(request, stream=True)
            try:
                expectation.check_headers(response.status_code, response.headers)
                data = bytearray()
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > expectation.max_bytes:
                        raise expectation.too_large(len(data))
                return bytes(data)
            finally:
                await response.aclose()


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
