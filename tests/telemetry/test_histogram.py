"""Percentiles of counted durations, held against the durations themselves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.telemetry.histogram import LEAST_SECONDS, LONGEST_SECONDS, Histogram
from aimanager_server.telemetry.model_stats import percentile

STABLE = settings(derandomize=True, database=None, deadline=None)
DURATIONS = st.floats(LEAST_SECONDS, LONGEST_SECONDS)
SHARES = st.floats(0, 1)


def counted(durations: list[float], *, packed: bool = False) -> Histogram:
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    if packed:
        histogram.pack()
    return histogram


@STABLE
@given(st.lists(DURATIONS, min_size=1), SHARES)
def test_a_percentile_is_right_within_five_percent(durations: list[float], share: float) -> None:
    told = counted(durations).percentile(share)

    assert told == pytest.approx(percentile(sorted(durations), share), rel=0.05)


@STABLE
@given(st.lists(st.lists(DURATIONS), min_size=1), SHARES, st.booleans())
def test_joined_histograms_tell_what_one_of_all_would(parts: list[list[float]], share: float, packed: bool) -> None:
    joined = Histogram()
    for part in parts:
        joined.join(counted(part, packed=packed))

    assert joined.percentile(share) == counted([seconds for part in parts for seconds in part]).percentile(share)


@STABLE
@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_a_packed_histogram_counts_on(before: list[float], after: list[float]) -> None:
    histogram = counted(before, packed=True)
    for seconds in after:
        histogram.add(seconds)

    assert sorted(histogram.steps()) == sorted(counted(before + after).steps())


def test_without_values_there_is_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None


@pytest.mark.parametrize(
    ("seconds", "end"), [(-1.0, LEAST_SECONDS), (0.0, LEAST_SECONDS), (float("inf"), LONGEST_SECONDS)]
)
def test_what_is_too_short_or_too_long_to_tell_is_told_as_the_nearer_end(seconds: float, end: float) -> None:
    told = counted([seconds]).percentile(0.5)

    assert told == pytest.approx(end, rel=0.05)


def test_however_many_are_counted_the_room_is_the_same() -> None:
    histogram = counted([LEAST_SECONDS * 1.01**number for number in range(3000)] * 2)

    assert len(list(histogram.steps())) < 220
