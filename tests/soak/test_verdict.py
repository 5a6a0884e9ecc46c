"""The verdict of a soak about one quantity, from samples alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.soak.run import report
from tests.soak.trend import FAILED, NOT_PROVEN, PROVEN

SAMPLES = 200
SECONDS = 600.0
"""With a warm-up of 240 s, 0.1 hours are judged: the bound of rss_mib is 1.0 + 0.3 / 0.1 = 4.0 an hour."""


def ramp(slope: float) -> Callable[[float], float]:
    return lambda hours: 78.0 + slope * hours


def noisy(hours: float) -> float:
    """Without a slope, but with more noise than the aim allows in this time."""
    return 78.0 + round(hours * 1e6) * 7919 % 13 / 10


@pytest.mark.parametrize(
    ("rss_mib", "verdict"),
    [(ramp(0.5), PROVEN), (ramp(2.0), NOT_PROVEN), (noisy, NOT_PROVEN), (ramp(5.0), FAILED)],
)
def test_verdict_of_a_soak(capsys: pytest.CaptureFixture[str], rss_mib: Callable[[float], float], verdict: str) -> None:
    times = [SECONDS * number / SAMPLES for number in range(SAMPLES + 1)]

    failures = report([(time, {"rss_mib": rss_mib(time / 3600)}) for time in times])

    line = capsys.readouterr().out.splitlines()[-1]
    assert line.partition(":")[0].endswith(f"  {verdict}")
    assert [failure.split()[0] for failure in failures] == ["rss_mib"] * (verdict == FAILED)
