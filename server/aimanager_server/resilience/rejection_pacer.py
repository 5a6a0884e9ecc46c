"""Spreads the rejections of a burst over time, so that the calls of others proceed in between."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context

BATCH = 4
"""Rejections in an interval. One takes about 0.3 ms of the event loop."""

INTERVAL_SECONDS = 0.004

BACKLOG_INTERVALS = 128
"""With many rejections waiting, each interval also sends this part of them, so that none waits for seconds."""

MAX_WAITING = 4096
"""Rejections that wait at a time. Further ones are sent at once, so that their memory is bounded."""


class RejectionPacer:
    """Let a few rejections through in each interval, in order. Belongs to one event loop."""

    def __init__(self) -> None:
        self._left = BATCH
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self) -> None:
        """Return at once, unless many calls are rejected now."""
        if self._timer is None:
            self._start()
        if self._left > 0:
            self._left -= 1
        elif len(self._waiting) < MAX_WAITING:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def _start(self) -> None:
        # In a context of its own: that of the current RPC would keep it in memory for as long as the timer runs.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(INTERVAL_SECONDS, self._begin_interval, context=Context())

    def _begin_interval(self) -> None:
        self._timer = None
        batch = self._left = BATCH + len(self._waiting) // BACKLOG_INTERVALS
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled: the caller has left
                turn.set_result(None)
                self._left -= 1
        if self._left < batch:
            self._start()
