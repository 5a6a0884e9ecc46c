"""Counts what each caller used in the last minute."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from ..core.errors import RateLimited
from ..core.handler import Clock

WINDOW_SECONDS = 60.0
SLOT_SECONDS = 0.1
MOST_SUBJECTS = 100_000


@dataclass(slots=True)
class _Window:
    slots: deque[tuple[float, float]] = field(default_factory=deque)
    total: float = 0.0

    def expire(self, oldest: float) -> None:
        while self.slots and self.slots[0][0] <= oldest:
            self.total -= self.slots.popleft()[1]
        if not self.slots:
            self.total = 0.0

    def give_back(self, when: float, amount: float) -> None:
        """Take from what was added at that time; what has left the window cannot be given back."""
        for index in range(len(self.slots) - 1, -1, -1):
            first, before = self.slots[index]
            if first <= when:
                back = min(amount, before) if when - first < SLOT_SECONDS else 0.0
                self.slots[index] = (first, before - back)
                self.total -= back
                return

    def add(self, when: float, amount: float) -> None:
        self.total += amount
        if self.slots and when - self.slots[-1][0] < SLOT_SECONDS:
            first, before = self.slots.pop()
            self.slots.append((first, before + amount))
        else:
            self.slots.append((when, amount))

    def wait_for(self, room: float, now: float) -> float:
        freed = 0.0
        for when, amount in self.slots:
            freed += amount
            if freed >= room:
                return when + WINDOW_SECONDS - now
        return WINDOW_SECONDS


class Limiter:
    """A sliding minute by subject and quota, exact to a tenth of a second; memory is bounded, oldest out first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    def take(self, subject: str, quota: str, per_minute: int, amount: float = 1.0) -> float:
        """Use `amount` of a quota, or raise RateLimited with the seconds until it would fit. Returns the time of it.

        An amount above the whole quota counts as the whole quota, so that it passes once a minute.
        """
        window, now = self._window(subject, quota), self._clock()
        amount = min(amount, per_minute)
        missing = window.total + amount - per_minute
        if missing > 0:
            self._refuse(subject, quota, per_minute, window.wait_for(missing, now))
        window.add(now, amount)
        return now

    def settle(self, subject: str, quota: str, amount: float, taken_at: float) -> None:
        """Correct a reserve afterwards: positive where more was used than taken, negative where less.

        What is given back is so at the time it was taken, or it would outlive it and let others take it twice.
        """
        window = self._window(subject, quota)
        if amount < 0:
            window.give_back(taken_at, -amount)
        elif amount:
            window.add(self._clock(), amount)

    def _refuse(self, subject: str, quota: str, per_minute: int, wait: float) -> None:
        seconds = max(1, math.ceil(wait))
        raise RateLimited(
            f"Rate limit exceeded. Retry after {seconds} seconds.",
            retry_after=max(wait, 0.0),
            metadata={"subject": subject, "quota": quota, "limit": str(per_minute)},
        )

    def _window(self, subject: str, quota: str) -> _Window:
        key = (subject, quota)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
            if len(self._windows) > MOST_SUBJECTS:
                self._windows.popitem(last=False)
        self._windows.move_to_end(key)
        window.expire(self._clock() - WINDOW_SECONDS)
        return window
