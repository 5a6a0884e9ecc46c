"""Circuit breakers by provider, model and key."""

from __future__ import annotations

from structlog.testing import capture_logs

from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.core.request import CALLER_KEY_ID
from aimanager_server.resilience.breaker_registry import MAX_BREAKERS, BreakerRegistry
from aimanager_server.resilience.circuit_breaker import CircuitBreaker, CircuitState
from tests.support.clock import FakeClock


def registry(clock: FakeClock | None = None, *, probed: set[str] | None = None) -> BreakerRegistry:
    breakers = BreakerRegistry(CircuitBreakerSettings(), RetrySettings(), clock or FakeClock())
    breakers.delegate_probing(probed or set())
    return breakers


def open_breaker(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        breaker.record_failure(breaker.generation, "PROVIDER_ERROR")


def test_each_model_has_a_breaker_and_each_key_one_for_all_models() -> None:
    breakers = registry()

    breakers.get("claude", "a").open_for(10)
    one_model = [breakers.rejects_calls("claude", model) for model in "ab"]
    breakers.get("claude").open_for(10)

    assert one_model == [True, False]
    assert breakers.rejects_calls("claude", "b")
    assert not breakers.rejects_calls("openai", "a")
    assert len(list(breakers.all("claude"))) == 2


def test_model_rejects_calls_only_if_every_server_key_does() -> None:
    breakers = registry()
    for key_id in ("1", "2"):
        breakers.get("claude", "a", key_id)
    breakers.get("claude", "a", "1").open_for(10)
    with_one_key = breakers.rejects_calls("claude", "a")

    breakers.get("claude", "", "2").open_for(300)

    assert not with_one_key
    assert breakers.rejects_calls("claude", "a")
    assert breakers.all_keys_open("claude")
    assert not breakers.rejects_calls("claude", "b")


def test_key_used_only_for_another_model_still_admits_calls() -> None:
    breakers = registry()
    breakers.get("claude", "b", "2")

    breakers.get("claude", "a", "1").open_for(10)

    assert not breakers.rejects_calls("claude", "a")


def test_caller_keys_do_not_affect_the_server_keys() -> None:
    breakers = registry()
    breakers.get("claude", "a", "1").open_for(10)
    breakers.get("claude", "a", CALLER_KEY_ID)
    with_server_key_open = breakers.rejects_calls("claude", "a")

    breakers.get("claude", "b", CALLER_KEY_ID).open_for(10)

    assert with_server_key_open
    assert not breakers.rejects_calls("claude", "b")


def test_requested_wait_and_trial_reject_calls_without_counting_as_open() -> None:
    clock = FakeClock()
    breakers = registry(clock)
    breakers.get("claude", "blocked").block_for(10)
    breakers.get("claude", "half-open").open_for(5)
    clock.advance(5)
    before_trial = breakers.rejects_calls("claude", "half-open")

    breakers.get("claude", "half-open").try_acquire()

    assert not before_trial
    assert breakers.rejects_calls("claude", "blocked")
    assert breakers.rejects_calls("claude", "half-open")
    assert not breakers.all_keys_open("claude")


def test_breakers_of_probed_providers_await_a_probe() -> None:
    clock = FakeClock()
    breakers = registry(clock, probed={"claude"})
    probed = [breakers.get("claude", model) for model in "ab"]
    timed = breakers.get("openai", "a")
    for breaker in (*probed, timed):
        open_breaker(breaker)
    clock.advance(60)

    waiting = [breakers.awaiting_probe("claude")]
    for model in ("a", None):
        breakers.probe_succeeded("claude", model)
        waiting.append(breakers.awaiting_probe("claude"))

    assert waiting == [tuple(probed), (probed[1],), ()]
    assert timed.state is CircuitState.HALF_OPEN
    assert breakers.not_closed("claude") == tuple(probed)


def test_subscribers_receive_every_transition() -> None:
    transitions: list[str] = []
    breakers = registry(probed={"claude"})
    breakers.subscribe(transitions.append)
    breaker = breakers.get("claude", "a")

    open_breaker(breaker)
    breakers.probe_succeeded("claude")
    breaker.try_acquire()
    breaker.record_first_content(breaker.generation)

    assert transitions == ["claude"] * 3
    assert breakers.not_closed("claude") == ()


def test_every_transition_is_logged_with_its_scope() -> None:
    scope = {"provider": "claude", "model": "a", "key_id": "1"}
    with capture_logs() as logs:
        breakers = registry(probed={"claude"})
        breaker = breakers.get("claude", "a", "1")
        open_breaker(breaker)
        breakers.probe_succeeded("claude")
        breaker.try_acquire()
        breaker.record_first_content(breaker.generation)

    opened = {"event": "circuit_breaker.opened", "reason": "PROVIDER_ERROR", "open_seconds": 4.0}
    assert logs == [
        {**opened, "log_level": "warning", **scope},
        {"event": "circuit_breaker.half_opened", "log_level": "info", **scope},
        {"event": "circuit_breaker.closed", "log_level": "info", **scope},
    ]


def test_closed_breakers_are_evicted_first() -> None:
    breakers = registry()
    breakers.get("p", "open").open_for(10)
    closed = breakers.get("p", "closed")

    for number in range(MAX_BREAKERS):
        breakers.get("p", str(number))

    assert breakers.rejects_calls("p", "open")
    assert breakers.get("p", "closed") is not closed
    assert len(list(breakers.all("p"))) == MAX_BREAKERS


def test_evicted_breaker_reports_no_transition() -> None:
    transitions: list[str] = []
    breakers = registry()
    breakers.subscribe(transitions.append)
    evicted = breakers.get("p", "old")
    for number in range(MAX_BREAKERS):
        breakers.get("p", str(number))

    open_breaker(evicted)

    assert (transitions, breakers.not_closed("p")) == ([], ())
