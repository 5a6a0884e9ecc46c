"""Counts the calls and failures of the most recent seconds in a fixed amount of memory."""

from __future__ import annotations

from array import array

SLICES = 30
"""Parts of the window that are counted separately. The oldest one leaves the window as a whole."""


class OutcomeWindow:
    """Count the outcomes of the last `seconds`. Times passed in must not decrease.

    >>> window = OutcomeWindow(seconds=30.0)
    >>> window.add(100.0, is_failure=True)
    >>> window.counts(129.0), window.counts(130.0)
    ((1, 1), (0, 0))
    """

    __slots__ = ("_calls", "_failures", "_newest", "_slice_seconds", "_total_calls", "_total_failures")

    def __init__(self, seconds: float) -> None:
        self._slice_seconds = seconds / SLICES
        self._newest = 0
        self.clear()

    def add(self, now: float, *, is_failure: bool) -> None:
        """Count one outcome."""
        self._advance(now)
        index = self._newest % SLICES
        self._calls[index] += 1
        self._total_calls += 1
        if is_failure:
            self._failures[index] += 1
            self._total_failures += 1

    def counts(self, now: float) -> tuple[int, int]:
        """Return the number of calls in the window, and of the failures among them."""
        self._advance(now)
        return self._total_calls, self._total_failures

    def clear(self) -> None:
        """Forget every outcome."""
        self._calls = array("I", bytes(4 * SLICES))
        self._failures = array("I", bytes(4 * SLICES))
        self._total_calls = self._total_failures = 0

    def _advance(self, now: float) -> None:
        """Empty the slices that have left the window."""
        current = int(now / self._slice_seconds)
        for number in range(max(self._newest + 1, current - SLICES + 1), current + 1):
            index = number % SLICES
            self._total_calls -= self._calls[index]
            self._total_failures -= self._failures[index]
            self._calls[index] = self._failures[index] = 0
        self._newest = current
