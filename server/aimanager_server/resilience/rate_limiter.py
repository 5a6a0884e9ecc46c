"""Enforces per-minute quotas with sliding windows."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from ..core.errors import RateLimited
from ..core.handler import Clock

WINDOW_SECONDS = 60.0
SLOT_SECONDS = 0.1
MAX_WINDOWS = 100_000


@dataclass(slots=True)
class _Window:
    """Amounts used in the last minute, by the start of their slot."""

    slots: deque[tuple[float, float]] = field(default_factory=deque)
    total: float = 0.0

    def expire(self, oldest: float) -> None:
        while self.slots and self.slots[0][0] <= oldest:
            self.total -= self.slots.popleft()[1]
        if not self.slots:
            self.total = 0.0

    def refund(self, when: float, amount: float) -> None:
        """Return what was added at that time, unless it has left the window."""
        for index in range(len(self.slots) - 1, -1, -1):
            start, used = self.slots[index]
            if start <= when:
                refund = min(amount, used) if when - start < SLOT_SECONDS else 0.0
                self.slots[index] = (start, used - refund)
                self.total -= refund
                return

    def add(self, when: float, amount: float) -> None:
        self.total += amount
        if self.slots and when - self.slots[-1][0] < SLOT_SECONDS:
            start, used = self.slots.pop()
            self.slots.append((start, used + amount))
        else:
            self.slots.append((when, amount))

    def seconds_until_free(self, amount: float, now: float) -> float:
        freed = 0.0
        for when, used in self.slots:
            freed += used
            if freed >= amount:
                return when + WINDOW_SECONDS - now
        return WINDOW_SECONDS


class RateLimiter:
    """Track a sliding minute per subject and quota, accurate to SLOT_SECONDS.

    Above MAX_WINDOWS the least recently used window is dropped.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    @property
    def entries(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def take(self, subject: str, quota: str, per_minute: int, amount: float = 1.0) -> float:
        """Take an amount of a quota and return the time, for `adjust`.

        An amount above the quota counts as the whole quota, so that it is admitted once a minute. Raises RateLimited
        with the seconds until the amount would fit.
        """
        window, now = self._window(subject, quota), self._clock()
        amount = min(amount, per_minute)
        excess = window.total + amount - per_minute
        if excess > 0:
            self._reject(subject, quota, per_minute, window.seconds_until_free(excess, now))
        window.add(now, amount)
        return now

    def seconds_until_admitted(self, subject: str, quota: str, per_minute: int) -> float:
        """Return in how many seconds `take` would admit an amount of 1; 0 if it does now. Nothing is taken."""
        window = self._windows.get((subject, quota))
        if window is None:
            return 0.0
        now = self._clock()
        window.expire(now - WINDOW_SECONDS)
        excess = window.total + 1 - per_minute
        return max(window.seconds_until_free(excess, now), 0.0) if excess > 0 else 0.0

    def adjust(self, subject: str, quota: str, amount: float, taken_at: float) -> None:
        """Correct an estimate: take a positive amount in addition, or refund a negative one.

        A refund applies to the time of the original take. Otherwise it would outlast that take and be used twice.
        """
        window = self._window(subject, quota)
        if amount < 0:
            window.refund(taken_at, -amount)
        elif amount:
            window.add(self._clock(), amount)

    def _reject(self, subject: str, quota: str, per_minute: int, wait: float) -> None:
        raise RateLimited(
            f"{rejection_message(wait)} Quota: {quota} = {per_minute}.",
            retry_after=max(wait, 0.0),
            metadata={"subject": subject, "quota": quota, "limit": str(per_minute)},
        )

    def _window(self, subject: str, quota: str) -> _Window:
        key = (subject, quota)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
            if len(self._windows) > MAX_WINDOWS:
                self._windows.popitem(last=False)
        self._windows.move_to_end(key)
        window.expire(self._clock() - WINDOW_SECONDS)
        return window


def rejection_message(seconds: float) -> str:
    """Return what is told to a caller that must wait.

    >>> rejection_message(11.2)
    'Rate limit exceeded. Retry after 12 seconds.'
    """
    whole = max(1, math.ceil(seconds))
    return f"Rate limit exceeded. Retry after {whole} second{'' if whole == 1 else 's'}."
