"""Knows how late the event loop is, so that a server that cannot keep up takes no more work."""

from __future__ import annotations

import asyncio
import math

from ..core.handler import Clock

INTERVAL_SECONDS = 0.1
"""How often it is measured, and so how long a delay is remembered after it has passed."""


class LoopLag:
    """How late a timer of the event loop is that ought to ring every `interval` seconds.

    `limit` is in seconds: above it the loop `is_late`. `clock` must move within one turn of the loop, which the
    loop's own need not.
    """

    __slots__ = ("_clock", "_due", "_interval", "_late", "_limit", "_timer")

    def __init__(self, clock: Clock, limit: float, interval: float = INTERVAL_SECONDS) -> None:
        self._clock = clock
        self._limit = limit
        self._interval = interval
        self._late = 0.0
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure from now on, on the running loop, until `stop`."""
        self._due = self._clock() + self._interval
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._ring)

    def stop(self) -> None:
        """Measure no more; the loop then counts as on time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._late, self._due = None, 0.0, math.inf

    def seconds(self) -> float:
        """How late the loop is, or was a moment ago. May be read from any thread, and while the loop stands still."""
        return max(self._late, self._clock() - self._due)

    def is_late(self) -> bool:
        """The loop is later than allowed."""
        return self.seconds() > self._limit

    def _ring(self) -> None:
        self._late = max(0.0, self._clock() - self._due)
        self.start()
