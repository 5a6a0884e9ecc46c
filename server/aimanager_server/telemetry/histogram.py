"""Mergeable histograms of durations, compact enough to keep many of them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator

MIN_SECONDS = 1e-4
MAX_SECONDS = 86_400.0
BUCKET_GROWTH = 1.1
"""Ratio of the upper bounds of neighboring buckets."""

_PER_BUCKET = 1 / math.log(BUCKET_GROWTH)
_LOG_MIN = math.log(MIN_SECONDS)
_COUNT_BITS = 48


class DurationHistogram:
    """Count durations in buckets that grow by 10 %, so that any percentile is accurate within ±5 %.

    Durations outside MIN_SECONDS to MAX_SECONDS count as the nearest bound.
    """

    __slots__ = ("_counts", "_packed")

    def __init__(self) -> None:
        self._counts: dict[int, int] | None = None
        self._packed: array[int] | None = None

    def record(self, seconds: float) -> None:
        """Count one duration."""
        counts = self._counts
        if counts is None:
            counts = self._unpacked()
        bucket = _bucket(seconds)
        counts[bucket] = counts.get(bucket, 0) + 1

    def merge(self, other: DurationHistogram) -> None:
        """Add the counts of another histogram."""
        counts = self._unpacked()
        for bucket, count in other.buckets():
            counts[bucket] = counts.get(bucket, 0) + count

    def compact(self) -> None:
        """Shrink to an array. The next `record` or `merge` expands the histogram again."""
        if self._counts is not None:
            self._packed = array("Q", (bucket << _COUNT_BITS | count for bucket, count in self._counts.items()))
            self._counts = None

    def buckets(self) -> Iterable[tuple[int, int]]:
        """Return each used bucket with its count, in no particular order."""
        return self._from_packed() if self._counts is None else self._counts.items()

    def percentile(self, quantile: float) -> float | None:
        """Return the seconds at `quantile` (0 to 1) by nearest rank, None if empty."""
        buckets = sorted(self.buckets())
        rank = math.ceil(quantile * sum(count for _, count in buckets))
        for bucket, count in buckets:
            rank -= count
            if rank <= 0:
                return _midpoint(bucket)
        return None

    def _unpacked(self) -> dict[int, int]:
        if self._counts is None:
            self._counts, self._packed = dict(self._from_packed()), None
        return self._counts

    def _from_packed(self) -> Iterator[tuple[int, int]]:
        return ((one >> _COUNT_BITS, one & (1 << _COUNT_BITS) - 1) for one in self._packed or ())


def _bucket(seconds: float) -> int:
    """Return the bucket's index: 0 up to MIN_SECONDS, n up to MIN_SECONDS × BUCKET_GROWTH ** n."""
    if seconds <= MIN_SECONDS:
        return 0
    return math.ceil((math.log(min(seconds, MAX_SECONDS)) - _LOG_MIN) * _PER_BUCKET)


def _midpoint(bucket: int) -> float:
    """Return the geometric mean of the bucket's bounds."""
    return MIN_SECONDS * BUCKET_GROWTH ** (bucket - 0.5) if bucket else MIN_SECONDS
