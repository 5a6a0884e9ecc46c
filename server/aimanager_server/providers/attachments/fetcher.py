"""Fetches files from addresses that callers give, without lending them the gateway's place in its network."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from ..http.pool import tls_context
from .checks import AS_DATA, Expected
from .public_addresses import is_public

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

FETCH_SECONDS = 30.0
"""The longest that one file may take, however much later the call's deadline is."""

HEADERS = {"User-Agent": "aimanager", "Accept-Encoding": "identity"}

HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0[xX][0-9A-Fa-f]*)\.?")
"""A host that ends like this is an address to some readers, so all readers have to agree on which."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host for a port. Raises OSError where it has none."""


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """As this machine resolves names."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class HttpsFetcher:
    """Fetches over https alone, from allowed ports of allowed addresses.

    A name is resolved once; the connection goes to what was checked, whatever the name means a moment later. Redirects
    are not followed; no cookie, no credential and no proxy is used; no connection is kept. `tls` decides whom to trust.
    """

    def __init__(
        self,
        *,
        ports: frozenset[int] = frozenset({443}),
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = system_addresses,
        is_allowed: Callable[[str], bool] = is_public,
        seconds: float = FETCH_SECONDS,
    ) -> None:
        self._ports = ports
        self._tls = tls or tls_context()
        self._resolve = resolve
        self._is_allowed = is_allowed
        self._seconds = seconds

    async def __call__(self, uri: str, mime_type: str, most_bytes: int, field: str) -> bytes:
        """The file's bytes. Raises InvalidRequest or PayloadTooLarge at `field`, where the address stands."""
        expected = Expected(field, mime_type, most_bytes)
        try:
            async with asyncio.timeout(self._seconds):
                url = self._checked(uri, expected)
                addresses = await self._addresses(url, expected)
                data = await self._read(url, addresses, expected)
        except aiohttp.ClientConnectorCertificateError as error:
            raise expected.refusal("is that of a server whose certificate is not accepted") from error
        except TimeoutError as error:
            raise expected.refusal(f"gave no whole file within {self._seconds:g} seconds") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise expected.refusal("could not be fetched: the connection failed, or the answer is not HTTP") from error
        expected.check_data(data)
        return data

    def _checked(self, uri: str, expected: Expected) -> URL:
        """The address as the one that connects will read it."""
        try:
            url = URL(uri, encoded=True)
            host, port = url.raw_host or "", url.port
        except ValueError:
            raise expected.refusal("is not an address that can be read") from None
        if url.scheme != "https" or url.raw_user is not None or url.raw_password is not None:
            raise expected.refusal("is no https address without a user name")
        if port not in self._ports:
            accepted = ", ".join(map(str, sorted(self._ports)))
            raise expected.refusal(f"names the port {port}; accepted is {accepted}")
        if not HOST.fullmatch(host) or (NUMBER.fullmatch(host) and not _is_ip(host)):
            raise expected.refusal("has a host that is neither a name nor an IP address as it is usually written")
        return url

    async def _addresses(self, url: URL, expected: Expected) -> Sequence[str]:
        """One message for all cases: a caller learns nothing of the names of a network that is not theirs."""
        try:
            addresses = await self._resolve(url.raw_host or "", url.port or 0)
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise expected.refusal("has a host that is not on the public internet", AS_DATA)
        return addresses

    async def _read(self, url: URL, addresses: Sequence[str], expected: Expected) -> bytes:
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses), use_dns_cache=False, ssl=self._tls, force_close=True
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            ) as session,
            session.get(url, headers={**HEADERS, "Accept": expected.mime_type}, allow_redirects=False) as response,
        ):
            expected.check_head(response.status, response.headers)
            data = bytearray()
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > expected.most_bytes:
                    raise expected.too_large(len(data))
            return bytes(data)


class _Pinned(AbstractResolver):
    """Knows the checked addresses and no others."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Each address as aiohttp wants it."""
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in self._addresses
        ]

    async def close(self) -> None:
        """There is nothing to let go of."""


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
