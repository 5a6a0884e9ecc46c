"""Resolve and cache the addresses of providers without letting one unresponsive name server block other lookups."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import BoundedSemaphore, Thread
from typing import Any, Protocol

from ...core.handler import Clock

GetAddrInfo = Callable[..., Sequence[tuple[Any, ...]]]
"""A function like `socket.getaddrinfo`: it blocks, and raises OSError."""

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""An address in the format of getaddrinfo."""

CacheKey = tuple[str, int]
"""Host and port."""

LookupResult = list[AddressInfo] | OSError

TTL_SECONDS = 10.0
"""How long the result of a successful lookup is used."""

STALE_TTL_SECONDS = 1.0
"""How long expired addresses are used after a failed lookup, before the next one."""

MAX_CONCURRENT_LOOKUPS = 4
"""A lookup cannot be cancelled: one that hangs occupies a thread until the operating system ends it."""

MAX_ENTRIES = 256
"""Names in the cache. The oldest is dropped."""

ADDRINFO_FLAGS = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", -1)


class Resolver(Protocol):
    """Finds the addresses of a host."""

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Return the addresses, at least one, in order of preference. Raises OSError."""
        ...

    def invalidate(self) -> None:
        """Discard cached addresses after a failed connection."""
        ...


class PinnedResolver:
    """Resolve every host to the same IP addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Return the addresses in the order given."""
        return [literal_address(address, port) for address in self._addresses]

    def invalidate(self) -> None:
        """Do nothing: the addresses are fixed."""


@dataclass(slots=True)
class _CacheEntry:
    addresses: deque[AddressInfo] = field(default_factory=deque)
    expires_at: float = 0.0
    lookup_started_at: float = 0.0
    lookup: asyncio.Future[LookupResult] | None = None


class CachingResolver:
    """Resolve host names in dedicated daemon threads, with one lookup per name at a time.

    The event loop's default executor has few threads that all share, so hanging lookups would exhaust it. Concurrent
    callers share the result of a lookup; one older than `lookup_timeout` seconds is abandoned and another started. If
    a lookup fails or takes longer than half of `lookup_timeout`, the expired addresses are used, unless the name server
    reports that the name does not exist.
    """

    def __init__(
        self, lookup_timeout: float, getaddrinfo: GetAddrInfo = socket.getaddrinfo, clock: Clock = time.monotonic
    ) -> None:
        self._lookup_timeout = lookup_timeout
        self._getaddrinfo = getaddrinfo
        self._clock = clock
        self._cache: dict[CacheKey, _CacheEntry] = {}
        self._permits = BoundedSemaphore(MAX_CONCURRENT_LOOKUPS)

    @property
    def entries(self) -> int:
        """Number of names."""
        return len(self._cache)

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Return the addresses, rotated by one on each call. Raises OSError. Does not limit the time."""
        if _is_ip_address(host):
            return [literal_address(host, port)]
        key = (host, port)
        entry = self._cache.get(key) or self._add_entry(key)
        if self._clock() >= entry.expires_at:
            await self._refresh(entry, key)
        addresses = list(entry.addresses)
        entry.addresses.rotate(-1)
        return addresses

    def invalidate(self) -> None:
        """Expire all addresses after a failed connection. They remain the fallback if the next lookup fails."""
        for entry in self._cache.values():
            entry.expires_at = 0.0

    def _add_entry(self, key: CacheKey) -> _CacheEntry:
        if len(self._cache) >= MAX_ENTRIES:
            del self._cache[next(iter(self._cache))]
        entry = self._cache[key] = _CacheEntry()
        return entry

    async def _refresh(self, entry: _CacheEntry, key: CacheKey) -> None:
        result = await self._look_up(entry, key)
        if isinstance(result, OSError) and (not entry.addresses or result.errno == socket.EAI_NONAME):
            raise result
        if isinstance(result, list):
            entry.addresses = deque(result)
        entry.expires_at = self._clock() + (TTL_SECONDS if isinstance(result, list) else STALE_TTL_SECONDS)

    async def _look_up(self, entry: _CacheEntry, key: CacheKey) -> LookupResult | None:
        """Return the result of the current or a new lookup; None if it is late and expired addresses exist."""
        lookup = entry.lookup
        if lookup is None or lookup.done() or self._clock() - entry.lookup_started_at > self._lookup_timeout:
            if not self._permits.acquire(blocking=False):
                return socket.gaierror(
                    socket.EAI_AGAIN, f"too many DNS lookups in progress (at most {MAX_CONCURRENT_LOOKUPS})"
                )
            lookup = entry.lookup = asyncio.get_running_loop().create_future()
            entry.lookup_started_at = self._clock()
            Thread(target=self._run_lookup, args=(key, lookup), name="dns-lookup", daemon=True).start()
        await asyncio.wait({lookup}, timeout=self._lookup_timeout / 2 if entry.addresses else None)
        return lookup.result() if lookup.done() else None

    def _run_lookup(self, key: CacheKey, lookup: asyncio.Future[LookupResult]) -> None:
        host, port = key
        result: LookupResult
        try:
            infos = self._getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=ADDRINFO_FLAGS)
            result = [(family, kind, protocol, "", address) for family, kind, protocol, _, address in infos]
        except (OSError, UnicodeError) as error:
            result = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "invalid host name")
        finally:
            self._permits.release()
        # The event loop may be closed by now.
        with suppress(RuntimeError):
            lookup.get_loop().call_soon_threadsafe(_complete, lookup, result)


def _complete(lookup: asyncio.Future[LookupResult], result: LookupResult) -> None:
    if not lookup.done():
        lookup.set_result(result)


def literal_address(address: str, port: int) -> AddressInfo:
    """Return an IP address in the format of getaddrinfo."""
    address, _, scope = address.partition("%")
    if ":" not in address:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
    scope_id = int(scope) if scope.isdecimal() else 0
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, scope_id)


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
