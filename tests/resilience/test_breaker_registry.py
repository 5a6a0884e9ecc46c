"""Circuits by provider, model and key."""

from __future__ import annotations

from structlog.testing import capture_logs

from aimanager_server.core.request import CALLER_KEY_ID
from aimanager_server.resilience.breaker_registry import MOST_BREAKERS, Breaker, Breakers, Rules
from aimanager_server.telemetry.provider_stats import Circuit
from tests.support.calls import FakeClock


def fail(breaker: Breaker, times: int = 5) -> None:
    for _ in range(times):
        breaker.failed(breaker.era, "PROVIDER_ERROR")


def test_each_model_has_a_circuit_and_the_account_one_for_all() -> None:
    breakers = Breakers(Rules(), FakeClock())

    breakers.of("claude", "a").open(10)

    assert breakers.is_open("claude", "a")
    assert not breakers.is_open("claude", "b")
    breakers.of("claude").open(10)
    assert breakers.is_open("claude", "b")
    assert not breakers.is_open("openai", "a")
    assert len(list(breakers.known("claude"))) == 2


def test_a_model_is_open_only_where_every_key_of_the_servers_would_be_refused() -> None:
    breakers = Breakers(Rules(), FakeClock())
    for key in ("1", "2"):
        breakers.of("claude", "a", key)
    breakers.of("claude", "a", "1").open(10)
    assert not breakers.is_open("claude", "a")

    breakers.of("claude", "", "2").open(300)

    assert breakers.is_open("claude", "a")
    assert breakers.is_down("claude")
    assert not breakers.is_open("claude", "b")


def test_a_key_that_was_used_for_another_model_only_may_still_answer() -> None:
    breakers = Breakers(Rules(), FakeClock())
    breakers.of("claude", "b", "2")

    breakers.of("claude", "a", "1").open(10)

    assert not breakers.is_open("claude", "a")


def test_callers_own_keys_say_nothing_of_the_servers() -> None:
    breakers = Breakers(Rules(), FakeClock())
    breakers.of("claude", "a", "1").open(10)
    breakers.of("claude", "a", CALLER_KEY_ID)
    assert breakers.is_open("claude", "a")

    breakers.of("claude", "b", CALLER_KEY_ID).open(10)

    assert not breakers.is_open("claude", "b")


def test_a_hold_and_a_trial_under_way_refuse_too_but_are_no_outage() -> None:
    clock = FakeClock()
    breakers = Breakers(Rules(), clock)
    breakers.of("claude", "held").hold(10)
    breakers.of("claude", "tried").open(5)
    clock.advance(5)
    assert not breakers.is_open("claude", "tried")

    breakers.of("claude", "tried").admit()

    assert breakers.is_open("claude", "held")
    assert breakers.is_open("claude", "tried")
    assert not breakers.is_down("claude")


def test_circuits_of_providers_that_are_probed_wait_for_the_probe() -> None:
    clock = FakeClock()
    breakers = Breakers(Rules(), clock)
    breakers.hand_over({"claude"})
    probed = [breakers.of("claude", model) for model in "ab"]
    timed = breakers.of("openai", "a")
    for breaker in (*probed, timed):
        fail(breaker)
    clock.advance(60)

    assert breakers.waiting("claude") == tuple(probed)
    assert timed.circuit is Circuit.HALF_OPEN
    breakers.answers("claude", "a")
    assert breakers.waiting("claude") == (probed[1],)
    breakers.answers("claude")
    assert breakers.waiting("claude") == ()
    assert breakers.shut("claude") == tuple(probed)


def test_listeners_hear_of_every_change() -> None:
    heard: list[str] = []
    breakers = Breakers(Rules(), FakeClock())
    breakers.hand_over({"claude"})
    breakers.listen(heard.append)
    breaker = breakers.of("claude", "a")

    fail(breaker)
    breakers.answers("claude")
    breaker.admit()
    breaker.began(breaker.era)

    assert heard == ["claude"] * 3
    assert breakers.shut("claude") == ()


def test_every_change_is_logged_with_its_place() -> None:
    place = {"provider": "claude", "model": "a", "key": "1"}
    with capture_logs() as lines:
        breakers = Breakers(Rules(), FakeClock())
        breakers.hand_over({"claude"})
        breaker = breakers.of("claude", "a", "1")
        fail(breaker)
        breakers.answers("claude")
        breaker.admit()
        breaker.began(breaker.era)

    assert lines == [
        {"event": "circuit.opened", "log_level": "warning", "reason": "PROVIDER_ERROR", "seconds": 4.0, **place},
        {"event": "circuit.half_opened", "log_level": "info", **place},
        {"event": "circuit.closed", "log_level": "info", **place},
    ]


def test_memory_is_bounded_and_the_closed_are_forgotten_first() -> None:
    breakers = Breakers(Rules(), FakeClock())
    breakers.of("p", "open").open(10)
    closed = breakers.of("p", "closed")

    for number in range(MOST_BREAKERS):
        breakers.of("p", str(number))

    assert breakers.is_open("p", "open")
    assert breakers.of("p", "closed") is not closed
    assert len(list(breakers.known("p"))) == MOST_BREAKERS


def test_a_forgotten_circuit_moves_nothing() -> None:
    heard: list[str] = []
    breakers = Breakers(Rules(), FakeClock())
    breakers.listen(heard.append)
    forgotten = breakers.of("p", "old")
    for number in range(MOST_BREAKERS):
        breakers.of("p", str(number))

    fail(forgotten)

    assert (heard, breakers.shut("p")) == ([], ())
