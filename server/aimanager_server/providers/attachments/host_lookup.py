"""Look up the hosts that callers name, in threads apart from those for the hosts of providers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial

from ...resilience.worker_pool import WorkerPool
from ..http.dns_cache import GetAddrInfo

MAX_LOOKUPS = 16
"""Concurrent lookups. One that no name server answers occupies its thread until the operating system ends it."""

MAX_LOOKUPS_PER_CALLER = 4

LOOKUP_TIMEOUT_SECONDS = 5.0
"""How long a lookup may take, including the wait for a thread."""


class HostLookup:
    """Resolve hosts as the operating system does, fairly by caller. Results are not kept."""

    def __init__(self, getaddrinfo: GetAddrInfo = socket.getaddrinfo, timeout: float = LOOKUP_TIMEOUT_SECONDS) -> None:
        self._getaddrinfo = getaddrinfo
        self._timeout = timeout
        self._pool = WorkerPool("attachment-dns", MAX_LOOKUPS, MAX_LOOKUPS_PER_CALLER)

    async def __call__(self, host: str, port: int, caller: str) -> Sequence[str]:
        """Return the IP addresses without duplicates. Raises OSError, of which TimeoutError is one."""
        look_up = partial(self._getaddrinfo, host, port, type=socket.SOCK_STREAM)
        async with asyncio.timeout(self._timeout):
            infos = await self._pool.run(caller, look_up)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in infos))

    def close(self) -> None:
        """End the threads that are idle."""
        self._pool.close()
