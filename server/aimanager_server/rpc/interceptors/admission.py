"""Admission control: limits the calls in flight, queues the excess briefly, and sheds load."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from ...config.settings import ServerSettings
from ...core.errors import Overloaded
from ...resilience.concurrency_limiter import ConcurrencyLimiter
from ..context import Rpc
from ..deadlines import deadline_after
from ..interceptor_chain import CallerInterceptor, RpcHandler
from ..policies import Slots

RETRY_AFTER_SECONDS = 1.0
EVENT_LOOP_LAG = "event_loop_lag"


class Admission(CallerInterceptor):
    """Limit calls in flight by `server.max_in_flight` and `server.max_in_flight_per_caller`, and watches separately.

    Calls beyond a limit wait in a queue, never past their deadline; if it is full, the caller with the most queued
    calls loses one of them to a caller with fewer. While the event loop `is_overloaded`, and once `closed` is set, new
    calls are rejected. Anonymous callers share one count.
    """

    def __init__(self, settings: ServerSettings, is_overloaded: Callable[[], bool] = lambda: False) -> None:
        self._settings = settings
        self._limiter = ConcurrencyLimiter(*_call_limits(settings))
        self._watches = ConcurrencyLimiter(*_watch_limits(settings))
        self._is_overloaded = is_overloaded
        self._in_flight: dict[Rpc, asyncio.Task[Any] | None] = {}
        self._waiting: dict[Rpc, asyncio.Task[Any] | None] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self.closed = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Number of admitted calls; queued ones do not count."""
        return len(self._in_flight)

    @property
    def queued(self) -> int:
        """Number of calls waiting for admission."""
        return self._limiter.queued

    async def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Any:
        """Hold a permit while the call is in flight. Raises Overloaded."""
        name = rpc.caller.name
        limiter = self._limiter if rpc.policy.slots is Slots.CALLS else self._watches
        if self._is_overloaded() or not limiter.try_acquire(name):
            await self._wait_in_queue(limiter, rpc, name)
        if not self._in_flight:
            self._idle.clear()
        self._in_flight[rpc] = asyncio.current_task()
        try:
            return await proceed(rpc)
        finally:
            del self._in_flight[rpc]
            limiter.release(name)
            self._signal_if_idle()

    def reconfigure(self, settings: ServerSettings) -> None:
        """Change the limits. Calls in flight stay, even beyond a lower limit; queued calls that fit are admitted."""
        self._settings = settings
        self._limiter.reconfigure(*_call_limits(settings))
        self._watches.reconfigure(*_watch_limits(settings))

    def tasks(self) -> frozenset[asyncio.Task[Any]]:
        """Return the tasks of the calls in flight and in the queue, without watches, which stay open without work."""
        calls = {**self._in_flight, **self._waiting}
        return frozenset(task for rpc, task in calls.items() if task and rpc.policy.slots is Slots.CALLS)

    def close(self) -> None:
        """Reject new and queued calls from now on, and set `closed`, which ends watch streams."""
        self.closed.set()
        self._limiter.close()
        self._watches.close()

    def cancel_all(self) -> None:
        """Cancel every call in flight; its caller receives a shutdown status."""
        for rpc, task in self._in_flight.items():
            if task is not None:
                rpc.ended_by_server = True
                task.cancel()

    async def wait_until_idle(self) -> None:
        """Return once no call is in flight."""
        await self._idle.wait()

    async def _wait_in_queue(self, limiter: ConcurrencyLimiter, rpc: Rpc, name: str) -> None:
        if self._is_overloaded() and not self.closed.is_set():
            raise Overloaded(
                "Server overloaded (event loop lag); new calls are temporarily rejected. "
                f"Retry in {RETRY_AFTER_SECONDS:g} s.",
                retry_after=RETRY_AFTER_SECONDS,
                metadata={"quota": EVENT_LOOP_LAG},
            )
        self._waiting[rpc] = asyncio.current_task()
        try:
            if await limiter.wait_for_permit(name, _max_wait_seconds(rpc)):
                return
        finally:
            del self._waiting[rpc]
            self._signal_if_idle()
        raise Overloaded(self._rejection(limiter, name), retry_after=RETRY_AFTER_SECONDS)

    def _signal_if_idle(self) -> None:
        # The limiter knows better than `_in_flight`: a permit may already belong to a queued call that has not resumed.
        if not (self._limiter.in_flight or self._watches.in_flight):
            self._idle.set()

    def _rejection(self, limiter: ConcurrencyLimiter, name: str) -> str:
        if self.closed.is_set():
            return "The server is shutting down."
        settings = self._settings
        if limiter is self._watches:
            limits, kind = (settings.max_watches, settings.max_watches_per_caller), "watches open"
        else:
            limits, kind = (settings.max_in_flight, settings.max_in_flight_per_caller), "calls in flight"
        is_callers = limiter.is_at_limit(name)
        scope = "this caller" if is_callers else "the server"
        return (
            f"Concurrency limit reached for {scope} ({limits[is_callers]} {kind}). Retry in {RETRY_AFTER_SECONDS:g} s."
        )


def _call_limits(settings: ServerSettings) -> tuple[int, int, float, int]:
    return (
        settings.max_in_flight,
        settings.max_queue_length,
        settings.queue_timeout_seconds,
        settings.max_in_flight_per_caller,
    )


def _watch_limits(settings: ServerSettings) -> tuple[int, int, float, int]:
    return settings.max_watches, 0, 0.0, settings.max_watches_per_caller


def _max_wait_seconds(rpc: Rpc) -> float:
    """Return how long a call may wait and still receive a status before its own deadline."""
    remaining: float | None = rpc.context.time_remaining()
    return math.inf if remaining is None else deadline_after(remaining, lambda: 0.0)
