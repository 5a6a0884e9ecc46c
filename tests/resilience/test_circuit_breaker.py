"""States of one circuit breaker: timed, probed and blocked."""

from __future__ import annotations

import pytest

from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.resilience.circuit_breaker import CircuitBreaker, CircuitState
from tests.support.clock import FakeClock


def circuit_breaker(
    clock: FakeClock | None = None,
    settings: CircuitBreakerSettings | None = None,
    transitions: list[CircuitState] | None = None,
    *,
    is_probed: bool = False,
) -> CircuitBreaker:
    seen = [] if transitions is None else transitions
    return CircuitBreaker(
        settings or CircuitBreakerSettings(),
        RetrySettings(),
        clock or FakeClock(),
        on_transition=lambda breaker, reason: seen.append(breaker.state),
        is_probed=is_probed,
    )


def fail(breaker: CircuitBreaker, times: int = 1, generation: int | None = None) -> None:
    for _ in range(times):
        breaker.record_failure(breaker.generation if generation is None else generation, "FAILED")


def open_breaker(clock: FakeClock, settings: CircuitBreakerSettings | None = None) -> CircuitBreaker:
    breaker = circuit_breaker(clock, settings)
    for _ in range(5):
        assert breaker.try_acquire() is None
        fail(breaker)
    return breaker


def test_fifth_consecutive_failure_opens() -> None:
    breaker = circuit_breaker()
    fail(breaker, 4)
    before = breaker.state

    fail(breaker)

    assert (before, breaker.state) == (CircuitState.CLOSED, CircuitState.OPEN)
    assert breaker.try_acquire() == 5.0


def test_success_resets_consecutive_failures() -> None:
    breaker = circuit_breaker()
    fail(breaker, 4)

    breaker.record_success(breaker.generation)
    fail(breaker)

    assert breaker.state is CircuitState.CLOSED
    assert breaker.consecutive_failures == 1


def test_failure_rate_of_half_of_twenty_recent_calls_opens() -> None:
    breaker = circuit_breaker()

    for _ in range(10):
        breaker.record_success(breaker.generation)
        fail(breaker)

    assert breaker.state is CircuitState.OPEN


def test_outcomes_outside_the_window_do_not_count() -> None:
    clock = FakeClock()
    breaker = circuit_breaker(clock)
    for _ in range(9):
        breaker.record_success(breaker.generation)
        fail(breaker)

    clock.advance(31)
    breaker.record_success(breaker.generation)
    fail(breaker)

    assert breaker.state is CircuitState.CLOSED


def test_half_open_admits_one_trial_whose_first_content_closes() -> None:
    clock = FakeClock()
    breaker = open_breaker(clock)
    clock.advance(5)
    before = breaker.state

    first, second = breaker.try_acquire(), breaker.try_acquire()
    breaker.record_first_content(breaker.generation)

    assert (before, first, second) == (CircuitState.HALF_OPEN, None, 1.0)
    assert breaker.state is CircuitState.CLOSED
    assert breaker.try_acquire() is None


def test_failed_trials_double_the_open_interval_up_to_the_maximum() -> None:
    clock = FakeClock()
    breaker = open_breaker(clock, CircuitBreakerSettings(max_open_seconds=12))
    waits = []

    for _ in range(3):
        clock.advance(60)
        assert breaker.try_acquire() is None
        fail(breaker)
        waits.append(breaker.try_acquire())

    assert waits == [10.0, 12.0, 12.0]


def test_released_trial_admits_another() -> None:
    clock = FakeClock()
    breaker = open_breaker(clock)
    clock.advance(5)
    assert breaker.try_acquire() is None

    breaker.release(breaker.generation)

    assert breaker.try_acquire() is None


def test_late_failures_do_not_extend_the_open_interval() -> None:
    breaker = circuit_breaker()
    admitted_before = breaker.generation
    fail(breaker, 5, admitted_before)

    fail(breaker, 10, admitted_before)

    assert breaker.try_acquire() == 5.0


def test_trial_that_fails_after_its_first_content_opens_again() -> None:
    clock = FakeClock()
    breaker = open_breaker(clock)
    clock.advance(5)
    assert breaker.try_acquire() is None

    breaker.record_first_content(breaker.generation)
    fail(breaker)

    assert breaker.state is CircuitState.OPEN


def test_success_resets_the_open_interval() -> None:
    clock = FakeClock()
    breaker = open_breaker(clock)
    clock.advance(5)
    assert breaker.try_acquire() is None
    breaker.record_success(breaker.generation)

    fail(breaker, 5)

    assert breaker.try_acquire() == 5.0


def test_call_admitted_before_opening_does_not_close() -> None:
    breaker = circuit_breaker()
    admitted_before = breaker.generation
    fail(breaker, 5)

    breaker.record_first_content(admitted_before)
    breaker.record_success(admitted_before)

    assert breaker.state is CircuitState.OPEN


def test_call_admitted_before_opening_does_not_end_a_trial() -> None:
    clock = FakeClock()
    breaker = circuit_breaker(clock)
    admitted_before = breaker.generation
    fail(breaker, 5)
    clock.advance(5)
    assert breaker.try_acquire() is None

    breaker.release(admitted_before)
    fail(breaker, generation=admitted_before)

    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.try_acquire() == 1.0


def test_probed_breaker_stays_open_until_a_probe_succeeds() -> None:
    clock = FakeClock()
    breaker = circuit_breaker(clock, is_probed=True)
    fail(breaker, 5)
    first_wait = breaker.try_acquire()
    clock.advance(1000)
    overdue = (breaker.state, breaker.try_acquire())

    breaker.probe_succeeded()

    assert (first_wait, overdue) == (4.0, (CircuitState.OPEN, 1.0))
    assert breaker.state is CircuitState.HALF_OPEN
    assert [breaker.try_acquire() for _ in range(3)] == [None, 1.0, 1.0]


def test_failed_trial_of_a_probed_breaker_waits_for_the_next_probe_only() -> None:
    breaker = circuit_breaker(is_probed=True)
    fail(breaker, 5)

    for _ in range(6):
        breaker.probe_succeeded()
        assert breaker.try_acquire() is None
        fail(breaker)

        assert breaker.awaiting_probe
        assert breaker.try_acquire() == 4.0


def test_each_transition_is_reported_once() -> None:
    transitions: list[CircuitState] = []
    breaker = circuit_breaker(transitions=transitions, is_probed=True)
    fail(breaker, 5)

    breaker.probe_succeeded()
    breaker.probe_succeeded()
    breaker.try_acquire()
    breaker.record_first_content(breaker.generation)
    breaker.record_success(breaker.generation)

    assert transitions == [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]


def test_timed_breaker_reports_half_open_on_its_first_trial() -> None:
    clock = FakeClock()
    transitions: list[CircuitState] = []
    breaker = circuit_breaker(clock, transitions=transitions)
    breaker.open_for(5)
    clock.advance(5)

    breaker.try_acquire()
    breaker.release(breaker.generation)
    breaker.try_acquire()

    assert transitions == [CircuitState.OPEN, CircuitState.HALF_OPEN]


def test_probe_does_not_half_open_after_a_credentials_failure() -> None:
    breaker = circuit_breaker(is_probed=True)
    breaker.record_credentials_failure(breaker.generation, "PROVIDER_CREDENTIALS_INVALID")

    breaker.probe_succeeded()

    assert (breaker.state, breaker.try_acquire()) == (CircuitState.OPEN, 300.0)


def test_scheduled_probe_sets_the_retry_time() -> None:
    clock = FakeClock()
    breaker = circuit_breaker(clock, is_probed=True)
    fail(breaker, 5)

    breaker.schedule_probe(3.6)

    assert breaker.retry_at == clock.time + 3.6


@pytest.mark.parametrize(("requested", "blocked"), [(2.0, 2.0), (0.005, 0.0), (120.0, 120.0), (7200.0, 120.0)])
def test_requested_wait_blocks_calls_up_to_the_maximum(requested: float, blocked: float) -> None:
    breaker = circuit_breaker()

    breaker.block_for(requested)

    assert breaker.blocked_seconds == blocked
    assert breaker.rejects_calls == (blocked > 0)
    assert breaker.state is CircuitState.CLOSED


def test_shorter_wait_does_not_shorten_a_block() -> None:
    clock = FakeClock()
    breaker = circuit_breaker(clock)
    breaker.block_for(10)

    breaker.block_for(2)

    clock.advance(9)
    assert breaker.blocked_seconds == 1.0
    clock.advance(0.995)
    assert breaker.blocked_seconds == 0.0


@pytest.mark.parametrize(("requested", "rejects"), [(3.0, False), (3.5, True)])
def test_a_block_that_is_short_enough_to_wait_for_does_not_reject_calls(requested: float, rejects: bool) -> None:
    breaker = CircuitBreaker(CircuitBreakerSettings(), RetrySettings(prefer_same_target_seconds=3.0), FakeClock())

    breaker.block_for(requested)

    assert (breaker.rejects_calls, breaker.blocked_seconds) == (rejects, requested)
