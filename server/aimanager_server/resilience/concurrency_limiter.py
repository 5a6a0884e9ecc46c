"""Limits concurrent calls, in total and per caller, with a bounded fair queue."""

from __future__ import annotations

import asyncio
import math
from collections import Counter


class ConcurrencyLimiter:
    """Grant up to `limit` permits, of which up to `limit_per_caller` to one caller.

    Up to `max_queue_length` calls wait for a permit, each for at most `queue_timeout_seconds`, and get it in order of
    arrival. If the queue is full, the last call of the caller with the most queued calls is rejected in favor of a
    caller with fewer. Belongs to one event loop. Without contention, a permit costs only the counting.

    >>> limiter = ConcurrencyLimiter(1, max_queue_length=0, queue_timeout_seconds=1.0)
    >>> limiter.try_acquire("ann"), limiter.try_acquire("bob")
    (True, False)
    >>> limiter.release("ann")
    >>> limiter.try_acquire("bob")
    True
    """

    __slots__ = (
        "_is_closed", "_limit_per_caller", "_max_queue_length", "_permits", "_queue", "_queue_timeout_seconds",
        "in_flight", "limit",
    )  # fmt: skip

    def __init__(
        self, limit: int, max_queue_length: int, queue_timeout_seconds: float, limit_per_caller: int | None = None
    ) -> None:
        self.in_flight = 0
        self.limit = limit
        self._limit_per_caller = limit if limit_per_caller is None else limit_per_caller
        self._max_queue_length = max_queue_length
        self._queue_timeout_seconds = queue_timeout_seconds
        self._permits: dict[str, int] = {}
        self._queue: dict[asyncio.Future[bool], str] = {}
        self._is_closed = False

    def reconfigure(
        self, limit: int, max_queue_length: int, queue_timeout_seconds: float, limit_per_caller: int | None = None
    ) -> None:
        """Change the limits, and admit the queued calls that fit now. Permits that are held stay."""
        self.limit = limit
        self._limit_per_caller = limit if limit_per_caller is None else limit_per_caller
        self._max_queue_length = max_queue_length
        self._queue_timeout_seconds = queue_timeout_seconds
        while self._admit_next():
            pass

    @property
    def queued(self) -> int:
        """Return the number of queued calls."""
        return len(self._queue)

    def is_at_limit(self, caller: str) -> bool:
        """Return whether the caller holds all the permits one caller may hold."""
        return self._permits.get(caller, 0) >= self._limit_per_caller

    def try_acquire(self, caller: str = "") -> bool:
        """Acquire a permit without waiting; return False if none is available.

        Never overtakes a queued call: a queued call is one that no free permit fits.
        """
        held = self._permits.get(caller, 0)
        if self.in_flight >= self.limit or held >= self._limit_per_caller or self._is_closed:
            return False
        self.in_flight += 1
        self._permits[caller] = held + 1
        return True

    def release(self, caller: str = "") -> None:
        """Return a permit of this caller and admit the next queued call."""
        self.in_flight -= 1
        remaining = self._permits[caller] - 1
        if remaining:
            self._permits[caller] = remaining
        else:
            del self._permits[caller]
        if self._queue:
            self._admit_next()

    async def wait_for_permit(self, caller: str = "", seconds: float = math.inf) -> bool:
        """Wait for a permit for at most `seconds`; return False on timeout, or if the queue is full or closed.

        Call this only after `try_acquire` returned False.
        """
        seconds = min(seconds, self._queue_timeout_seconds)
        if seconds <= 0 or self._is_closed or not self._make_room_for(caller):
            return False
        loop = asyncio.get_running_loop()
        permit: asyncio.Future[bool] = loop.create_future()
        self._queue[permit] = caller
        timer = loop.call_later(seconds, self._reject, permit)
        try:
            return await permit
        except asyncio.CancelledError:
            # The permit may have been granted in the same loop iteration as the cancellation.
            if not permit.cancelled() and permit.result():
                self.release(caller)
            raise
        finally:
            timer.cancel()
            self._queue.pop(permit, None)

    def close(self) -> None:
        """Reject every queued call and all later ones."""
        self._is_closed = True
        for permit in list(self._queue):
            self._reject(permit)

    def _admit_next(self) -> bool:
        """Grant a permit to the first queued call it fits; return False if none does. One release fits one call."""
        for permit, caller in self._queue.items():
            if not permit.done() and self.try_acquire(caller):
                del self._queue[permit]
                permit.set_result(True)
                return True
        return False

    def _make_room_for(self, caller: str) -> bool:
        if len(self._queue) < self._max_queue_length:
            return True
        if not self._queue:
            return False
        queued = Counter(self._queue.values())
        busiest, count = queued.most_common(1)[0]
        if queued[caller] + 1 >= count:
            return False
        self._reject(next(permit for permit in reversed(self._queue) if self._queue[permit] == busiest))
        return True

    def _reject(self, permit: asyncio.Future[bool]) -> None:
        self._queue.pop(permit, None)
        if not permit.done():
            permit.set_result(False)
