"""Handle large requests one at a time, callers in turn, with time for other calls in between."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from contextvars import Context

from ..core.handler import Clock

MIN_TURN_BYTES = 8 * 1024
"""Smaller requests need no turn. A field takes at least two bytes, and a message with one part about 10 µs."""

MIN_PAUSE_SECONDS = 0.002
"""A step that took less is followed by the next turn at once."""


class RequestTurns:
    """Let one task at a time go on to a step of the event loop that may take long. Belongs to one event loop.

    A turn lasts until the task waits for the next time. Then other calls have as long as the turn took, and the next
    turn belongs to the next caller, whatever number of requests each has. `clock` must advance within one iteration of
    the loop, unlike the loop's own clock.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._is_taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def wait(self, caller: str) -> None:
        """Return when the turn of this request begins. Its expensive step must follow without another wait."""
        if self._is_taken:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(caller, deque()).append(turn)
            await turn
        else:
            self._begin()

    def _begin(self) -> None:
        self._is_taken = True
        # Runs after the task that has the turn, and in a context of its own, which keeps no call in memory.
        asyncio.get_running_loop().call_soon(self._end, self._clock(), context=Context())

    def _end(self, began_at: float) -> None:
        seconds = self._clock() - began_at
        if seconds < MIN_PAUSE_SECONDS:
            self._grant_next()
        else:
            asyncio.get_running_loop().call_later(seconds, self._grant_next, context=Context())

    def _grant_next(self) -> None:
        self._is_taken = False
        while self._waiting and not self._is_taken:
            caller, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[caller] = turns
            if not turn.done():  # cancelled: the caller has left
                turn.set_result(None)
                self._begin()
