"""Keeps the number of calls under way within what the process can serve, and empties it for a shutdown."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from ...core.errors import Overloaded
from ...resilience.concurrency_limiter import Gate
from ..context import Guard, Proceed, Rpc
from ..deadlines import deadline_in

COME_AGAIN_SECONDS = 1.0
LOOP_LAG = "loop_lag"


class Admit(Guard):
    """Makes calls wait a moment above `most` at once and above `most_per_caller` of one caller, else turns them away.

    `queue_length` calls wait, each `queue_seconds` at most and never until its deadline; a caller that has most of
    them makes way for one that has fewer. While the event loop `is_late` no new call is taken, nor once `closed`.
    Callers without a name share their counts.
    """

    def __init__(
        self,
        most: int,
        most_per_caller: int,
        queue_length: int = 0,
        queue_seconds: float = 1.0,
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self._most = most
        self._most_per_caller = most_per_caller
        self._gate = Gate(most, queue_length, queue_seconds, most_per_caller)
        self._is_late = is_late
        self._under_way: dict[Rpc, asyncio.Task[Any] | None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.closed = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Calls under way; those that wait are not."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return self._gate.waiting

    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Hold a place while the call is under way, or raise Overloaded."""
        name = rpc.caller.name
        if self._is_late() or not self._gate.enter(name):
            await self._queue(rpc, name)
        if not self._under_way:
            self._empty.clear()
        self._under_way[rpc] = asyncio.current_task()
        try:
            return await proceed(rpc, request)
        finally:
            del self._under_way[rpc]
            self._gate.leave(name)
            self._tell_if_empty()

    def close(self) -> None:
        """Take no more calls and turn away those that wait; watchers of `closed` end theirs."""
        self.closed.set()
        self._gate.close()

    def cut(self) -> None:
        """End every call under way; each is told that the server is shutting down."""
        for rpc, task in self._under_way.items():
            if task is not None:
                rpc.is_cut = True
                task.cancel()

    async def emptied(self) -> None:
        """Return once no call is under way."""
        await self._empty.wait()

    async def _queue(self, rpc: Rpc, name: str) -> None:
        if self._is_late() and not self.closed.is_set():
            busy = "The server cannot keep up and takes no new calls for a moment."
            raise Overloaded(busy, retry_after=COME_AGAIN_SECONDS, metadata={"quota": LOOP_LAG})
        try:
            if await self._gate.wait(name, _patience(rpc)):
                return
        finally:
            self._tell_if_empty()
        raise Overloaded(self._refusal(name), retry_after=COME_AGAIN_SECONDS)

    def _tell_if_empty(self) -> None:
        """Ask the gate: a place that was just handed on to a waiting call is none that is free."""
        if not self._gate.in_use:
            self._empty.set()

    def _refusal(self, name: str) -> str:
        if self.closed.is_set():
            return "The server is shutting down."
        if self._gate.is_full_for(name):
            return f"This caller has {self._most_per_caller} calls under way."
        return f"The server has {self._most} calls under way."


def _patience(rpc: Rpc) -> float:
    """Seconds that a call can wait and still be told before its own deadline."""
    remaining: float | None = rpc.context.time_remaining()
    return math.inf if remaining is None else deadline_in(remaining, lambda: 0.0)
