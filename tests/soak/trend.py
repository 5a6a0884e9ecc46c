"""The slope of a series of samples, with the uncertainty that its noise leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

CONFIDENCE = 1.96
"""Standard errors on each side of the slope that contain the true one in 95 of 100 runs."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope in units per hour, and the half width of its 95 % confidence interval."""

    slope: float
    uncertainty: float

    def exceeds(self, bound: float) -> bool:
        """Return whether the slope is above the bound even if the noise was at its worst."""
        return self.slope - self.uncertainty > bound

    def proves(self, bound: float) -> bool:
        """Return whether the slope is below the bound even if the noise was at its worst."""
        return self.slope + self.uncertainty < bound


def trend(samples: Sequence[tuple[float, float]]) -> Trend:
    """Fit a line to samples of (seconds, value) by least squares.

    Consecutive samples depend on each other, which makes the interval of so many independent ones too narrow: it is
    widened by the correlation of neighbouring residuals.

    >>> trend([(0.0, 1.0), (1800.0, 2.0), (3600.0, 3.0)]).slope
    2.0
    """
    count = len(samples)
    mean_time = sum(time for time, _ in samples) / count
    mean = sum(value for _, value in samples) / count
    spread = sum((time - mean_time) ** 2 for time, _ in samples)
    slope = sum((time - mean_time) * (value - mean) for time, value in samples) / spread
    residuals = [value - mean - slope * (time - mean_time) for time, value in samples]
    variance = sum(one * one for one in residuals)
    if count < 3 or variance == 0.0:
        return Trend(slope * 3600, 0.0)
    pairs = pairwise(residuals)
    correlation = min(max(sum(one * next_one for one, next_one in pairs) / variance, 0.0), 0.95)
    error = math.sqrt(variance / (count - 2) / spread * (1 + correlation) / (1 - correlation))
    return Trend(slope * 3600, CONFIDENCE * error * 3600)
