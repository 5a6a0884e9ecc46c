"""Delays failed authentication by peer, so that guessing tokens and misconfigured clients cost little."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..core.errors import RateLimited
from ..core.handler import Clock
from ..telemetry.logger import get_logger

FREE_FAILURES = 5
"""Failures of a peer without a delay."""

FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 2.0
FORGET_SECONDS = 60.0
"""After this time without a failure, a peer starts again without a delay."""

MAX_PEERS = 1024
MAX_DELAYED = 256
MAX_DELAYED_PER_PEER = 16
FAILED_AUTHENTICATIONS = "failed_authentications"
"""The quota in the metadata of the error, and the label of rejected requests."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class _Peer:
    """Failures of one peer. `failed_at` is on the monotonic clock; `delayed` are its calls that wait now."""

    failures: int = 0
    failed_at: float = 0.0
    delayed: int = 0


class AuthBackoff:
    """Delay each failure of a peer longer than the one before, up to MAX_DELAY_SECONDS.

    Memory is bounded: the least recent of MAX_PEERS peers is forgotten, and at most MAX_DELAYED calls wait at a time.
    Peers behind the same proxy or load balancer count as one, so use this only for calls that fail anyway.
    """

    def __init__(self, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self._delayed = 0
        self._log = get_logger()

    @property
    def entries(self) -> int:
        """Number of peers that failed."""
        return len(self._peers)

    async def delay_failure(self, address: str) -> None:
        """Count a failure of the peer with this address and wait. Raises RateLimited at once if too many calls wait."""
        peer = self._count(address)
        excess = peer.failures - FREE_FAILURES
        if excess <= 0:
            return
        if excess == 1:
            self._log.warning("authentication.delayed", peer=address, failures=peer.failures)
        seconds = min(FIRST_DELAY_SECONDS * 2.0 ** min(excess - 1, 10), MAX_DELAY_SECONDS)
        if self._delayed >= MAX_DELAYED or peer.delayed >= MAX_DELAYED_PER_PEER:
            raise RateLimited(
                f"Too many failed authentications. Retry in {seconds:g} s.",
                solution="Send a valid token; it is never delayed.",
                retry_after=seconds,
                metadata={"quota": FAILED_AUTHENTICATIONS},
            )
        self._delayed += 1
        peer.delayed += 1
        try:
            await self._sleep(seconds)
        finally:
            self._delayed -= 1
            peer.delayed -= 1

    def _count(self, address: str) -> _Peer:
        now = self._clock()
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = _Peer()
            if len(self._peers) > MAX_PEERS:
                self._peers.popitem(last=False)
        self._peers.move_to_end(address)
        peer.failures = peer.failures + 1 if now - peer.failed_at < FORGET_SECONDS else 1
        peer.failed_at = now
        return peer
