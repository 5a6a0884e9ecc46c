"""Interrupt long work, so that the event loop serves other calls meanwhile."""

from __future__ import annotations

import asyncio
import time

MAX_WORK_SECONDS = 0.001
"""How long one call may work before the event loop runs other tasks."""


class Pace:
    """The pace of one call. Ask `is_due` after each short step of work; if it is, await `pause`.

    `line` is shared by all calls: of those that pause, one at a time goes on.
    """

    __slots__ = ("_line", "_resumed_at")

    def __init__(self, line: asyncio.Lock) -> None:
        self._line = line
        self._resumed_at = time.perf_counter()

    def is_due(self) -> bool:
        """Return whether the call has worked for MAX_WORK_SECONDS since the last pause."""
        return time.perf_counter() - self._resumed_at >= MAX_WORK_SECONDS

    async def pause(self) -> None:
        """Let the event loop run its other tasks."""
        async with self._line:
            await asyncio.sleep(0)
        self._resumed_at = time.perf_counter()
