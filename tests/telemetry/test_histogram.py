"""Percentiles of bucketed durations, compared to the durations themselves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.telemetry.histogram import MAX_SECONDS, MIN_SECONDS, DurationHistogram
from aimanager_server.telemetry.model_stats import percentile

STABLE = settings(derandomize=True, database=None, deadline=None)
DURATIONS = st.floats(MIN_SECONDS, MAX_SECONDS)
QUANTILES = st.floats(0, 1)


def histogram_of(durations: list[float], *, compact: bool = False) -> DurationHistogram:
    histogram = DurationHistogram()
    for seconds in durations:
        histogram.record(seconds)
    if compact:
        histogram.compact()
    return histogram


@STABLE
@given(st.lists(DURATIONS, min_size=1), QUANTILES)
def test_percentile_is_accurate_within_five_percent(durations: list[float], quantile: float) -> None:
    estimate = histogram_of(durations).percentile(quantile)

    assert estimate == pytest.approx(percentile(sorted(durations), quantile), rel=0.05)


@STABLE
@given(st.lists(st.lists(DURATIONS), min_size=1), QUANTILES, st.booleans())
def test_merged_histograms_equal_one_histogram_of_everything(
    parts: list[list[float]], quantile: float, compact: bool
) -> None:
    merged = DurationHistogram()
    for part in parts:
        merged.merge(histogram_of(part, compact=compact))

    assert merged.percentile(quantile) == histogram_of([one for part in parts for one in part]).percentile(quantile)


@STABLE
@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_compact_histogram_accepts_more_durations(before: list[float], after: list[float]) -> None:
    histogram = histogram_of(before, compact=True)

    for seconds in after:
        histogram.record(seconds)

    assert sorted(histogram.buckets()) == sorted(histogram_of(before + after).buckets())


def test_empty_histogram_has_no_percentile() -> None:
    assert DurationHistogram().percentile(0.5) is None


@pytest.mark.parametrize(("seconds", "bound"), [(-1.0, MIN_SECONDS), (0.0, MIN_SECONDS), (float("inf"), MAX_SECONDS)])
def test_durations_out_of_range_count_as_the_nearest_bound(seconds: float, bound: float) -> None:
    assert histogram_of([seconds]).percentile(0.5) == pytest.approx(bound, rel=0.05)


def test_number_of_buckets_is_bounded() -> None:
    histogram = histogram_of([MIN_SECONDS * 1.01**number for number in range(3000)] * 2)

    assert len(list(histogram.buckets())) < 220
