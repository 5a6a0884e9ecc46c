"""A circuit that waits for a probe, and one that waits as advised."""

from __future__ import annotations

import pytest

from aimanager_server.resilience.breaker_registry import Breaker, Rules
from aimanager_server.telemetry.provider_stats import Circuit
from tests.support.calls import FakeClock


def probed(clock: FakeClock, moved: list[Circuit] | None = None) -> Breaker:
    seen = [] if moved is None else moved
    breaker = Breaker(Rules(), clock, ("claude", "a", "1"), lambda one, _: seen.append(one.circuit), is_probed=True)
    for _ in range(5):
        breaker.failed(breaker.era, "FAILED")
    return breaker


def test_a_probed_circuit_stays_open_until_the_provider_answers() -> None:
    clock = FakeClock()
    breaker = probed(clock)
    assert breaker.admit() == 4.0
    clock.advance(1000)
    assert (breaker.circuit, breaker.admit()) == (Circuit.OPEN, 1.0)

    breaker.answers()

    assert breaker.circuit is Circuit.HALF_OPEN
    assert [breaker.admit() for _ in range(3)] == [None, 1.0, 1.0]


def test_a_failed_trial_of_a_probed_circuit_waits_for_the_next_answer_and_no_longer() -> None:
    clock = FakeClock()
    breaker = probed(clock)
    for _ in range(6):
        breaker.answers()
        assert breaker.admit() is None
        breaker.failed(breaker.era, "FAILED")

        assert breaker.waits
        assert breaker.admit() == 4.0


def test_each_change_is_told_once() -> None:
    moved: list[Circuit] = []
    breaker = probed(FakeClock(), moved)

    breaker.answers()
    breaker.answers()
    breaker.admit()
    breaker.began(breaker.era)
    breaker.succeeded(breaker.era)

    assert moved == [Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED]


def test_a_timed_circuit_tells_that_it_is_half_open_when_somebody_tries() -> None:
    clock = FakeClock()
    moved: list[Circuit] = []
    breaker = Breaker(Rules(), clock, moved=lambda one, _: moved.append(one.circuit))
    breaker.open(5)
    clock.advance(5)

    breaker.admit()
    breaker.abandoned(breaker.era)
    breaker.admit()

    assert moved == [Circuit.OPEN, Circuit.HALF_OPEN]


def test_an_answered_probe_does_not_open_what_was_refused() -> None:
    clock = FakeClock()
    breaker = Breaker(Rules(), clock, is_probed=True)
    breaker.refused(breaker.era, "PROVIDER_CREDENTIALS_INVALID")

    breaker.answers()

    assert (breaker.circuit, breaker.admit()) == (Circuit.OPEN, 300.0)


def test_the_expected_probe_is_when_a_call_may_try() -> None:
    clock = FakeClock()
    breaker = probed(clock)

    breaker.expect(3.6)

    assert breaker.retry_at == clock.time + 3.6


@pytest.mark.parametrize(("advice", "held"), [(2.0, 2.0), (0.005, 0.0), (120.0, 120.0), (7200.0, 120.0)])
def test_a_hold_lasts_as_advised_up_to_the_longest(advice: float, held: float) -> None:
    breaker = Breaker(Rules(), FakeClock())

    breaker.hold(advice)

    assert breaker.held == held
    assert breaker.refuses == (held > 0)
    assert breaker.circuit is Circuit.CLOSED


def test_shorter_advice_does_not_shorten_a_hold() -> None:
    clock = FakeClock()
    breaker = Breaker(Rules(), clock)
    breaker.hold(10)

    breaker.hold(2)

    clock.advance(9)
    assert breaker.held == 1.0
    clock.advance(0.995)
    assert breaker.held == 0.0
