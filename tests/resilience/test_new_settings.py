"""Limiters, budgets, breakers, key pools and stored responses keep their state when their settings change."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.config.resilience import CircuitBreakerSettings, IdempotencySettings, RetrySettings
from aimanager_server.config.settings import ProviderSettings, ServerSettings
from aimanager_server.core.content import Message, Role
from aimanager_server.core.errors import InvalidRequest, Overloaded
from aimanager_server.core.handler import compose
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey, Caller
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata
from aimanager_server.pipeline.bulkhead import ProviderConcurrency
from aimanager_server.resilience.breaker_registry import BreakerRegistry
from aimanager_server.resilience.circuit_breaker import CircuitState
from aimanager_server.resilience.concurrency_limiter import ConcurrencyLimiter
from aimanager_server.resilience.key_pool import KeyPool
from aimanager_server.resilience.retry_budget import RetryBudgets
from aimanager_server.storage.memory_idempotency import MemoryIdempotency
from aimanager_server.telemetry.usage_stats import UsageStats
from tests.support.calls import TARGET, make_attempt, make_call
from tests.support.clock import FakeClock
from tests.support.event_loop import run_ready_tasks
from tests.support.prober import UNREACHABLE, ProbedProvider, ProberSetup
from tests.support.upstream import ScriptedUpstream

LONG = 600.0


async def test_a_higher_limit_admits_as_many_queued_calls_as_fit() -> None:
    limiter = ConcurrencyLimiter(1, 8, LONG)
    limiter.try_acquire("ann")
    queued = [asyncio.ensure_future(limiter.wait_for_permit("bob")) for _ in range(3)]
    await run_ready_tasks()

    limiter.reconfigure(3, 8, LONG)
    await run_ready_tasks()

    assert [call.done() for call in queued] == [True, True, False]
    queued[2].cancel()


async def test_a_lower_limit_takes_effect_once_permits_are_released() -> None:
    limiter = ConcurrencyLimiter(2, 0, LONG)
    for _ in range(2):
        limiter.try_acquire()

    limiter.reconfigure(1, 0, LONG)
    limiter.release()
    with_one_held = limiter.try_acquire()
    limiter.release()

    assert (with_one_held, limiter.try_acquire()) == (False, True)


def bulkhead_settings(limit: int | None) -> dict[str, ProviderSettings]:
    return {TARGET.provider: ProviderSettings(wire="mock", max_in_flight=limit)}


async def test_calls_in_flight_count_towards_the_new_limit_of_a_provider() -> None:
    server = ServerSettings(max_queue_length=0)
    bulkhead = ProviderConcurrency(bulkhead_settings(3), server, FakeClock())
    handler = compose([bulkhead], ScriptedUpstream())
    first = await handler(make_attempt())

    bulkhead.reconfigure(bulkhead_settings(1), server)

    with pytest.raises(Overloaded, match=r"\(1 calls in flight\)"):
        await handler(make_attempt())
    await first.aclose()
    await handler(make_attempt())


async def test_calls_queued_at_a_provider_proceed_once_it_has_no_limit() -> None:
    server = ServerSettings(queue_timeout_seconds=LONG)
    bulkhead = ProviderConcurrency(bulkhead_settings(1), server, FakeClock())
    handler = compose([bulkhead], ScriptedUpstream())
    await handler(make_attempt())
    queued = asyncio.ensure_future(handler(make_attempt()))
    await run_ready_tasks()

    bulkhead.reconfigure(bulkhead_settings(None), server)

    await queued


def test_a_budget_keeps_what_was_spent() -> None:
    budgets = RetryBudgets(RetrySettings(budget_burst=2), FakeClock())
    budget = budgets.get(make_call(), "mock")
    budget.withdraw()

    budgets.reconfigure(RetrySettings(budget_burst=0, budget_ratio=0.5))

    budget.withdraw()
    with_nothing_left = budget.allows_retry
    for _ in range(2):
        budget.deposit()
    assert (with_nothing_left, budget.allows_retry) == (False, True)
    assert not budgets.get(make_call(caller=Caller(provider_keys={"mock": "k"})), "mock").allows_retry


def test_a_budget_is_cut_to_the_largest_that_new_settings_allow() -> None:
    budgets = RetryBudgets(RetrySettings(budget_burst=500), FakeClock())
    budget = budgets.get(make_call(), "mock")

    budgets.reconfigure(RetrySettings(budget_burst=1))

    spent = 0
    while budget.allows_retry:
        budget.withdraw()
        spent += 1
    assert spent == 100


async def test_stored_responses_beyond_a_lower_limit_are_evicted() -> None:
    store = MemoryIdempotency(IdempotencySettings(), FakeClock())
    metadata = ResponseMetadata("1", "mock/latest", "mock", "mock-large")
    result = GenerateResult(metadata, Message(Role.ASSISTANT, ()), Finished(FinishReason.STOP))
    for key in (b"first", b"second"):
        await store.put(key, b"1", result)

    store.reconfigure(IdempotencySettings(max_entries=1))

    assert await store.claim(b"second", b"1", make_call()) is result
    assert await store.claim(b"first", b"1", make_call()) is None


async def test_a_repeated_request_that_a_new_configuration_resolves_differently_is_the_first_again() -> None:
    store = MemoryIdempotency(IdempotencySettings(), FakeClock())
    metadata = ResponseMetadata("1", "mock/latest", "mock", "mock-large")
    result = GenerateResult(metadata, Message(Role.ASSISTANT, ()), Finished(FinishReason.STOP))
    for key in (b"same", b"other", b"in flight"):
        await store.claim(key, b"1", make_call())
        await store.put(key, b"1", result)
        if key != b"in flight":
            store.release(key)

    store.reconfigure(IdempotencySettings())
    await store.put(b"in flight", b"1", result)
    store.release(b"in flight")

    assert await store.claim(b"same", b"1", make_call()) is result
    assert await store.claim(b"other", b"2", make_call()) is None
    assert await store.claim(b"in flight", b"2", make_call()) is None
    await store.put(b"other", b"2", result)
    store.release(b"other")
    with pytest.raises(InvalidRequest):
        await store.claim(b"other", b"3", make_call())


def test_callers_are_told_apart_beside_those_that_were_removed() -> None:
    stats = UsageStats(FakeClock(), FakeClock(), lambda provider, model: True, max_callers=1)
    first = stats.of("ann")
    first.in_flight += 1
    shared = stats.of("bob")

    stats.reconfigure(1)

    assert stats.of("bob") not in (first, shared)
    assert stats.of("ann") is first


def key_pool(*secrets: str) -> KeyPool:
    return KeyPool([(secret, 1) for secret in secrets], FakeClock())


def test_keys_stay_in_quarantine_wherever_they_move() -> None:
    previous, pool = key_pool("a", "b", "c"), key_pool("new", "c", "a")
    previous.quarantine(ApiKey("1", "a"))

    pool.adopt_quarantines(previous)

    assert {key.secret for _ in range(4) for key in pool.candidates()} == {"new", "c"}


def test_ids_of_other_keys_are_found() -> None:
    assert key_pool("a", "new", "c", "d").changed_ids(key_pool("a", "b", "c")) == {"2", "4"}
    assert key_pool("a").changed_ids(key_pool("a")) == frozenset()


def breaker_registry() -> tuple[BreakerRegistry, FakeClock]:
    clock = FakeClock()
    return BreakerRegistry(CircuitBreakerSettings(), RetrySettings(), clock), clock


def fail(breakers: BreakerRegistry, times: int, model: str = "m", key_id: str = "1") -> None:
    breaker = breakers.get("mock", model, key_id)
    for _ in range(times):
        breaker.record_failure(breaker.generation, "FAILED")


def test_breakers_apply_a_new_threshold_to_failures_before_it() -> None:
    breakers, _ = breaker_registry()
    fail(breakers, 2)

    breakers.reconfigure(CircuitBreakerSettings(failure_threshold=3), RetrySettings())
    fail(breakers, 1)

    assert breakers.get("mock", "m", "1").state is CircuitState.OPEN


def test_an_open_breaker_stays_open_and_new_intervals_apply_from_the_next_failure() -> None:
    breakers, clock = breaker_registry()
    fail(breakers, 5)
    breaker = breakers.get("mock", "m", "1")

    breakers.reconfigure(CircuitBreakerSettings(open_seconds=1.0, max_open_seconds=2.0), RetrySettings())
    before = breaker.state
    clock.advance(5.0)
    breaker.try_acquire()
    fail(breakers, 1)

    clock.advance(2.0)
    assert (before, breaker.state) == (CircuitState.OPEN, CircuitState.HALF_OPEN)


def test_breakers_of_some_keys_are_forgotten() -> None:
    breakers, _ = breaker_registry()
    told: list[str] = []
    breakers.subscribe(told.append)
    for key_id in ("1", "2", CALLER_KEY_ID):
        fail(breakers, 5, key_id=key_id)
    told.clear()

    breakers.forget("mock", {"1"})

    states = [breakers.get("mock", "m", key_id).state for key_id in ("1", "2", CALLER_KEY_ID)]
    assert states == [CircuitState.CLOSED, CircuitState.OPEN, CircuitState.OPEN]
    assert len(breakers.not_closed("mock")) == 2
    assert told == ["mock"]


def test_all_breakers_of_a_provider_are_forgotten() -> None:
    breakers, _ = breaker_registry()
    fail(breakers, 5)
    in_flight = breakers.get("mock", "m", "1")

    breakers.forget("mock")
    in_flight.open_for(10)

    assert (list(breakers.all("mock")), breakers.not_closed("mock")) == ([], ())
    assert not breakers.rejects_calls("mock", "m")


def test_a_breaker_does_not_wait_for_probes_that_were_turned_off() -> None:
    breakers, clock = breaker_registry()
    breakers.delegate_probing({"mock"})
    fail(breakers, 5)

    breakers.delegate_probing(())

    clock.advance(60.0)
    assert breakers.get("mock", "m", "1").state is CircuitState.HALF_OPEN


async def test_probes_continue_with_the_provider_that_replaced_the_failing_one() -> None:
    setup = ProberSetup()
    setup.open_breaker()
    await setup.end_sleep()
    successor = ProbedProvider()

    setup.prober.replace_providers({"claude": successor}, {"claude": "models"})
    before = setup.prober.active_providers
    await setup.end_sleep()

    assert (before, setup.prober.active_providers) == (("claude",), ())
    assert (setup.provider.probes, successor.probes) == (1, 1)
    await setup.prober.aclose()


async def test_probes_of_a_removed_provider_end() -> None:
    setup = ProberSetup()
    setup.open_breaker()

    setup.prober.replace_providers({}, {})

    assert setup.prober.active_providers == ()
    assert UNREACHABLE.reason not in setup.recorded
