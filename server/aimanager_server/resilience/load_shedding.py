"""Measures the event loop's lag, so that an overloaded server rejects new calls."""

from __future__ import annotations

import asyncio
import math

from ..core.handler import Clock

SAMPLE_INTERVAL_SECONDS = 0.1
"""Interval between measurements, and so how long a lag is reported after it ended."""


class EventLoopLagMonitor:
    """Measure how late a recurring timer of the event loop fires.

    The server is overloaded while the lag exceeds `max_lag_seconds`. `clock` must advance within one iteration of the
    loop, unlike the loop's own clock.
    """

    __slots__ = ("_clock", "_due_at", "_interval_seconds", "_last_lag", "_timer", "max_lag_seconds")

    def __init__(self, clock: Clock, max_lag_seconds: float, interval_seconds: float = SAMPLE_INTERVAL_SECONDS) -> None:
        self._clock = clock
        self.max_lag_seconds = max_lag_seconds
        self._interval_seconds = interval_seconds
        self._last_lag = 0.0
        self._due_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start measuring on the running loop, until `stop`."""
        self._due_at = self._clock() + self._interval_seconds
        self._timer = asyncio.get_running_loop().call_later(self._interval_seconds, self._on_timer)

    def stop(self) -> None:
        """Stop measuring and report no lag."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._last_lag, self._due_at = None, 0.0, math.inf

    def lag_seconds(self) -> float:
        """Return the current lag or the last measured one, whichever is greater.

        Safe to call from any thread, also while the loop is blocked.
        """
        return max(self._last_lag, self._clock() - self._due_at)

    def is_overloaded(self) -> bool:
        """Return whether the lag exceeds the maximum."""
        return self.lag_seconds() > self.max_lag_seconds

    def _on_timer(self) -> None:
        self._last_lag = max(0.0, self._clock() - self._due_at)
        self.start()
