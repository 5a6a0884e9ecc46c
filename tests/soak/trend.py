"""The slope of a series of samples, with the uncertainty that its noise leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median

CONFIDENCE = 1.96
"""Standard errors on each side of the slope that contain the true one in 95 of 100 runs."""

BLOCKS = 24
"""Medians that stand for the samples: neighbours depend on each other, and single ones are of calls in flight."""

FAILED, PROVEN, NOT_PROVEN = "FAILED", "proven", "not proven"


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope in units per hour, and the ends of its 95 % confidence interval."""

    slope: float
    lower: float
    upper: float

    def verdict(self, aim: float, bound: float) -> str:
        """Return `FAILED` if the slope is certainly above the bound, `proven` if it is certainly below the aim.

        >>> Trend(slope=0.2, lower=-0.1, upper=0.5).verdict(aim=1.0, bound=3.0)
        'proven'
        """
        if self.lower > bound:
            return FAILED
        return PROVEN if self.upper < aim else NOT_PROVEN


def trend(samples: Sequence[tuple[float, float]]) -> Trend:
    """Return the Theil–Sen slope of samples of (seconds, value), in order.

    It is the median of the slopes between all pairs, which single jumps do not move; the interval is Kendall's.

    >>> trend([(0.0, 1.0), (1800.0, 2.0), (3600.0, 3.0)]).slope
    2.0
    >>> trend([(0.0, 1.0), (1200.0, 1.0), (2400.0, 9.0), (3600.0, 1.0)]).slope
    0.0
    """
    points = _blocks(samples)
    slopes = sorted((late[1] - early[1]) / (late[0] - early[0]) * 3600 for early, late in combinations(points, 2))
    count, pairs = len(points), len(slopes)
    spread = CONFIDENCE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    lower = max(int((pairs - spread) / 2), 0)
    upper = min(math.ceil((pairs + spread) / 2), pairs - 1)
    return Trend(median(slopes), slopes[lower], slopes[upper])


def _blocks(samples: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return the medians of BLOCKS runs of neighbouring samples, or the samples if they are not more."""
    bounds = [round(len(samples) * index / BLOCKS) for index in range(BLOCKS + 1)]
    blocks = [samples[start:end] for start, end in pairwise(bounds) if start < end]
    return [(median(time for time, _ in block), median(value for _, value in block)) for block in blocks]
