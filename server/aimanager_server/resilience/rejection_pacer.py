"""Spreads the rejections of a burst over time, so that the calls of others proceed in between."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context

from ..core.handler import Clock

BATCH = 4
"""Rejections between two pauses. One takes about 0.3 ms of the event loop."""

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.002, 0.05

MAX_WAITING = 2048
"""Rejections that wait at a time. Further ones are sent at once, so that their memory is bounded."""


class RejectionPacer:
    """Let a few rejections through, in order, then leave the event loop to other calls for as long as they took.

    Belongs to one event loop. `clock` must advance within one iteration of the loop, unlike the loop's own clock.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._left = BATCH
        self._is_idle = True
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Number of rejections that wait."""
        return len(self._waiting)

    async def wait(self) -> None:
        """Return at once, unless many calls are rejected now."""
        if self._left > 0:
            self._left -= 1
            if self._is_idle:
                self._measure()
        elif len(self._waiting) < MAX_WAITING:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def _measure(self) -> None:
        """Pause once the tasks that are ready have run; in a context of its own, which keeps no call in memory."""
        self._is_idle = False
        asyncio.get_running_loop().call_soon(self._pause, self._clock(), context=Context())

    def _pause(self, began_at: float) -> None:
        seconds = min(max(self._clock() - began_at, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        asyncio.get_running_loop().call_later(seconds, self._resume, context=Context())

    def _resume(self) -> None:
        self._is_idle, self._left = True, BATCH
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled: the caller has left
                turn.set_result(None)
                self._left -= 1
        if self._left < BATCH:
            self._measure()
