"""Counts of the outcomes of the most recent seconds."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest

from aimanager_server.resilience.outcome_window import OutcomeWindow


def test_outcomes_leave_the_window_after_its_seconds() -> None:
    window = OutcomeWindow(30.0)
    for second in range(40):
        window.add(1000.0 + second, is_failure=second % 2 == 0)

    counts = [window.counts(time) for time in (1039.0, 1050.0, 1068.0, 1069.0, 5000.0)]

    assert counts == [(30, 15), (19, 9), (1, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize("seconds", [0.3, 30.0, 864_000.0])
def test_no_outcome_counts_longer_than_the_window_or_shorter_than_a_slice_less(seconds: float) -> None:
    window = OutcomeWindow(seconds)
    window.add(0.7 * seconds, is_failure=True)

    counted = [time for time in range(0, 400) if window.counts((0.7 + time / 200) * seconds) == (1, 1)]

    assert 193 <= len(counted) <= 200
    assert all(after == before + 1 for before, after in pairwise(counted))


def test_a_window_takes_the_same_memory_whatever_is_counted() -> None:
    window = OutcomeWindow(30.0)
    for number in range(100_000):
        window.add(number / 1000, is_failure=True)

    size = sum(sys.getsizeof(getattr(window, name)) for name in OutcomeWindow.__slots__)

    assert window.counts(99.999) == (30_000, 30_000)
    assert size < 800
