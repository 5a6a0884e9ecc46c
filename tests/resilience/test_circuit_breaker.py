from aimanager_server.resilience.breaker_registry import Breaker, Rules
from aimanager_server.telemetry.provider_stats import Circuit
from tests.support.calls import FakeClock


def opened(clock: FakeClock, rules: Rules | None = None) -> Breaker:
    breaker = Breaker(rules or Rules(), clock)
    for _ in range(5):
        assert breaker.admit() is None
        breaker.failed(breaker.era, "FAILED")
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    breaker = Breaker(Rules(), FakeClock())
    for _ in range(4):
        breaker.failed(breaker.era, "FAILED")
    assert breaker.circuit is Circuit.CLOSED

    breaker.failed(breaker.era, "FAILED")

    assert breaker.circuit is Circuit.OPEN
    assert breaker.admit() == 5.0


def test_a_success_starts_the_count_again() -> None:
    breaker = Breaker(Rules(), FakeClock())
    for _ in range(4):
        breaker.failed(breaker.era, "FAILED")

    breaker.succeeded(breaker.era)
    breaker.failed(breaker.era, "FAILED")

    assert breaker.circuit is Circuit.CLOSED
    assert breaker.consecutive_failures == 1


def test_it_opens_when_half_of_twenty_recent_calls_fail() -> None:
    breaker = Breaker(Rules(), FakeClock())

    for _ in range(10):
        breaker.succeeded(breaker.era)
        breaker.failed(breaker.era, "FAILED")

    assert breaker.circuit is Circuit.OPEN


def test_old_failures_do_not_count() -> None:
    clock = FakeClock()
    breaker = Breaker(Rules(), clock)
    for _ in range(9):
        breaker.succeeded(breaker.era)
        breaker.failed(breaker.era, "FAILED")

    clock.advance(31)
    breaker.succeeded(breaker.era)
    breaker.failed(breaker.era, "FAILED")

    assert breaker.circuit is Circuit.CLOSED


def test_half_open_admits_one_call_and_its_first_content_closes_the_circuit() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.circuit is Circuit.HALF_OPEN

    first, second = breaker.admit(), breaker.admit()
    breaker.began(breaker.era)

    assert (first, second) == (None, 1.0)
    assert breaker.circuit is Circuit.CLOSED
    assert breaker.admit() is None


def test_a_failed_trial_doubles_the_interval_up_to_the_longest() -> None:
    clock = FakeClock()
    breaker = opened(clock, Rules(longest_open=12))
    waits = []

    for _ in range(3):
        clock.advance(60)
        assert breaker.admit() is None
        breaker.failed(breaker.era, "FAILED")
        waits.append(breaker.admit())

    assert waits == [10.0, 12.0, 12.0]


def test_an_abandoned_trial_leaves_room_for_another() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admit() is None

    breaker.abandoned(breaker.era)

    assert breaker.admit() is None


def test_stragglers_do_not_lengthen_the_interval() -> None:
    clock = FakeClock()
    breaker = Breaker(Rules(), clock)
    before = breaker.era
    for _ in range(5):
        breaker.failed(before, "FAILED")

    for _ in range(10):
        breaker.failed(before, "FAILED")

    assert breaker.admit() == 5.0


def test_a_provider_that_always_cuts_its_answer_opens_again_at_once() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admit() is None

    breaker.began(breaker.era)
    breaker.failed(breaker.era, "FAILED")

    assert breaker.circuit is Circuit.OPEN


def test_a_whole_answer_resets_the_interval() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admit() is None
    breaker.succeeded(breaker.era)

    for _ in range(5):
        breaker.failed(breaker.era, "FAILED")

    assert breaker.admit() == 5.0


def test_who_was_admitted_before_it_opened_does_not_close_it() -> None:
    clock = FakeClock()
    breaker = Breaker(Rules(), clock)
    before = breaker.era
    for _ in range(5):
        breaker.failed(breaker.era, "FAILED")

    breaker.began(before)
    breaker.succeeded(before)

    assert breaker.circuit is Circuit.OPEN


def test_a_straggler_does_not_end_the_trial_of_another() -> None:
    clock = FakeClock()
    breaker = Breaker(Rules(), clock)
    straggler = breaker.era
    for _ in range(5):
        breaker.failed(breaker.era, "FAILED")
    clock.advance(5)
    assert breaker.admit() is None

    breaker.abandoned(straggler)
    breaker.failed(straggler, "FAILED")

    assert breaker.circuit is Circuit.HALF_OPEN
    assert breaker.admit() == 1.0
