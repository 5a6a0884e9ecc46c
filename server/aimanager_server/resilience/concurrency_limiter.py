"""Lets so many in at once, and lets a few more wait until somebody leaves."""

from __future__ import annotations

import asyncio
import math
from collections import Counter


class Gate:
    """`most` places, and of those `most_each` for one name. A place that falls free goes to who waited longest for it.

    `queue_length` may wait, each for `queue_seconds`. Nobody fills the queue for others: where it is full, the last
    one of the name that waits most often makes way for a name that waits less. Belongs to one event loop. Where a
    place is free, nothing is spent but the counting.

    >>> gate = Gate(1, queue_length=0, queue_seconds=1.0)
    >>> gate.enter("ann"), gate.enter("bob")
    (True, False)
    >>> gate.leave("ann")
    >>> gate.enter("bob")
    True
    """

    __slots__ = ("_held", "_is_closed", "_most", "_most_each", "_queue_length", "_queue_seconds", "_waiting", "in_use")

    def __init__(self, most: int, queue_length: int, queue_seconds: float, most_each: int | None = None) -> None:
        self.in_use = 0
        self._most = most
        self._most_each = most if most_each is None else most_each
        self._queue_length = queue_length
        self._queue_seconds = queue_seconds
        self._held: dict[str, int] = {}
        self._waiting: dict[asyncio.Future[bool], str] = {}
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Those in the queue."""
        return len(self._waiting)

    def is_full_for(self, name: str) -> bool:
        """The name has all the places that one name may have."""
        return self._held.get(name, 0) >= self._most_each

    def enter(self, name: str = "") -> bool:
        """Take a place at once, or say that there is none. Nobody is overtaken who could have had it."""
        held = self._held.get(name, 0)
        if self.in_use >= self._most or held >= self._most_each or self._is_closed:
            return False
        self.in_use += 1
        self._held[name] = held + 1
        return True

    def leave(self, name: str = "") -> None:
        """Give a place of that name back."""
        self.in_use -= 1
        left = self._held[name] - 1
        if left:
            self._held[name] = left
        else:
            del self._held[name]
        if self._waiting:
            self._let_one_in()

    async def wait(self, name: str = "", seconds: float = math.inf) -> bool:
        """Wait for a place, at most `seconds` too; False where none came in time, or the queue is full or closed."""
        seconds = min(seconds, self._queue_seconds)
        if seconds <= 0 or self._is_closed or not self._has_room_for(name):
            return False
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting[place] = name
        timer = loop.call_later(seconds, self._turn_away, place)
        try:
            return await place
        except asyncio.CancelledError:
            # The place may have come in the same turn of the loop as the cancellation.
            if not place.cancelled() and place.result():
                self.leave(name)
            raise
        finally:
            timer.cancel()
            self._waiting.pop(place, None)

    def close(self) -> None:
        """Let nobody in any more, and turn away those who wait."""
        self._is_closed = True
        for place in list(self._waiting):
            self._turn_away(place)

    def _let_one_in(self) -> None:
        """One place that fell free lets in one at most, so all who still wait are those who cannot enter."""
        for place, name in self._waiting.items():
            if not place.done() and self.enter(name):
                del self._waiting[place]
                place.set_result(True)
                return

    def _has_room_for(self, name: str) -> bool:
        if len(self._waiting) < self._queue_length:
            return True
        if not self._waiting:
            return False
        waiting = Counter(self._waiting.values())
        keenest, count = waiting.most_common(1)[0]
        if waiting[name] + 1 >= count:
            return False
        self._turn_away(next(place for place in reversed(self._waiting) if self._waiting[place] == keenest))
        return True

    def _turn_away(self, place: asyncio.Future[bool]) -> None:
        self._waiting.pop(place, None)
        if not place.done():
            place.set_result(False)
