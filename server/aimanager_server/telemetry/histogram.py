"""How values spread, in little room, such that the spreads of different times can be joined."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator

LEAST_SECONDS = 1e-4
LONGEST_SECONDS = 86_400.0
GROWTH = 1.1
"""Each step ends so many times later than the one before."""

_PER_STEP = 1 / math.log(GROWTH)
_FROM = math.log(LEAST_SECONDS)
_COUNT_BITS = 48


class Histogram:
    """Counts durations in steps of 10 %, so that any percentile is told within ±5 %.

    That holds from a tenth of a millisecond to a day; what lies outside is told as the nearer end.
    """

    __slots__ = ("_counts", "_packed")

    def __init__(self) -> None:
        self._counts: dict[int, int] | None = None
        self._packed: array[int] | None = None

    def add(self, seconds: float) -> None:
        """Count one."""
        counts = self._counts
        if counts is None:
            counts = self._unpacked()
        step = _step(seconds)
        counts[step] = counts.get(step, 0) + 1

    def join(self, other: Histogram) -> None:
        """Count all that the other has."""
        counts = self._unpacked()
        for step, count in other.steps():
            counts[step] = counts.get(step, 0) + count

    def pack(self) -> None:
        """Take as little room as possible; for one that nothing more will be added to."""
        if self._counts is not None:
            self._packed = array("Q", (step << _COUNT_BITS | count for step, count in self._counts.items()))
            self._counts = None

    def steps(self) -> Iterable[tuple[int, int]]:
        """Each step that was met, with its count; in no order."""
        return self._from_packed() if self._counts is None else self._counts.items()

    def percentile(self, share: float) -> float | None:
        """Seconds that `share` (0 to 1) of the values stay under, by nearest rank; None without values."""
        steps = sorted(self.steps())
        rank = math.ceil(share * sum(count for _, count in steps))
        for step, count in steps:
            rank -= count
            if rank <= 0:
                return _middle(step)
        return None

    def _unpacked(self) -> dict[int, int]:
        if self._counts is None:
            self._counts, self._packed = dict(self._from_packed()), None
        return self._counts

    def _from_packed(self) -> Iterator[tuple[int, int]]:
        return ((one >> _COUNT_BITS, one & (1 << _COUNT_BITS) - 1) for one in self._packed or ())


def _step(seconds: float) -> int:
    """Step 0 holds what is too short to tell; step n ends at LEAST_SECONDS × GROWTH ** n."""
    if seconds <= LEAST_SECONDS:
        return 0
    return math.ceil((math.log(min(seconds, LONGEST_SECONDS)) - _FROM) * _PER_STEP)


def _middle(step: int) -> float:
    """As far, in proportion, from the start of the step as from its end."""
    return LEAST_SECONDS * GROWTH ** (step - 0.5) if step else LEAST_SECONDS
