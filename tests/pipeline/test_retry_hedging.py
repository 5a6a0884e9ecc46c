"""Hedging in the retry loop: which attempts are hedged, and their keys."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from aimanager_server.core.errors import (
    CallerKeyRejected,
    OutputSchemaMismatch,
    ProviderCredentialsInvalid,
    ProviderInternalError,
    ProviderRejectedRequest,
)
from aimanager_server.core.request import CALLER_KEY_ID, Caller, Target
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.calls import TARGET, make_call
from tests.support.event_loop import in_virtual_time
from tests.support.hedging import OTHER, Providers, attempts_of, hedged_call, retrying_hedged
from tests.support.layers import new_metrics
from tests.support.metrics import sample_value


@in_virtual_time
async def test_response_lists_the_attempts_of_both_targets() -> None:
    response = await retrying_hedged(Providers(mock=(60.0, None), claude=(1.0, None)))(hedged_call())

    await response.result()

    attempts = [(attempt.provider, attempt.error_reason) for attempt in response.metadata.attempts]
    assert attempts == [("mock", "CANCELLED"), ("claude", "")]


@in_virtual_time
async def test_target_that_failed_as_a_hedge_is_not_tried_again() -> None:
    third = Target("openai", "gpt-x")
    rejected = ProviderRejectedRequest("no"), ProviderCredentialsInvalid("no")
    providers = Providers(mock=(9.0, rejected[1]), claude=(1.0, rejected[0]), openai=(1.0, None))
    call = make_call(targets=(TARGET, OTHER, third))

    response = await retrying_hedged(providers)(call)

    assert response.metadata.provider == "openai"
    assert [provider for provider, _ in attempts_of(call)] == ["mock", "claude", "openai"]


@in_virtual_time
async def test_streamed_and_single_target_calls_are_not_hedged() -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))
    handle = retrying_hedged(providers)

    await handle(hedged_call(streaming=True))
    await handle(make_call())

    assert list(providers.started) == ["mock"]


@in_virtual_time
async def test_retry_is_not_hedged() -> None:
    metrics = new_metrics()
    providers = Providers(mock=(1.0, ProviderInternalError("down")), claude=(1.0, None))
    call = hedged_call()

    await retrying_hedged(providers, metrics)(call)

    assert [provider for provider, _ in attempts_of(call)] == ["mock", "claude"]
    assert sample_value(metrics.registry, "aimanager_hedged_requests_total", provider="mock", model="mock-large") == 0


@in_virtual_time
async def test_calls_with_caller_keys_are_hedged_and_their_rejection_is_the_callers() -> None:
    caller = Caller("ann", provider_keys={"mock": "mine-1", "claude": "mine-2"})
    providers = Providers(mock=(9.0, ProviderRejectedRequest("no")), claude=(1.0, ProviderCredentialsInvalid("no")))
    call = hedged_call(caller=caller)

    with pytest.raises(ProviderRejectedRequest):
        await retrying_hedged(providers)(call)

    assert providers.key_ids == {"mock": CALLER_KEY_ID, "claude": CALLER_KEY_ID}
    assert attempts_of(call) == [("mock", "PROVIDER_REJECTED_REQUEST"), ("claude", CallerKeyRejected.spec.reason)]


@in_virtual_time
async def test_key_rejected_in_a_hedge_is_quarantined() -> None:
    pool = KeyPool([("secret-1", 1), ("secret-2", 1)], asyncio.get_running_loop().time)
    providers = Providers(mock=(5.0, None), claude=(1.0, ProviderCredentialsInvalid("no")))

    with structlog.testing.capture_logs() as logged:
        await retrying_hedged(providers, key_pools={"claude": pool})(hedged_call())

    assert pool.quarantined_count == 1
    assert [(entry["event"], entry["key_id"]) for entry in logged] == [("provider.key_rejected", "1")]


@in_virtual_time
async def test_keys_of_both_targets_are_in_flight_until_the_response_ends() -> None:
    clock = asyncio.get_running_loop().time
    pools = {name: KeyPool([("secret-1", 1), ("secret-2", 1)], clock, "least_loaded") for name in ("mock", "claude")}
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    response = await retrying_hedged(providers, key_pools=pools)(hedged_call())
    winners_key, losers_key = next(pools["claude"].candidates()).id, next(pools["mock"].candidates()).id
    await response.result()

    assert providers.key_ids == {"mock": "1", "claude": "1"}
    assert winners_key == "2"  # key 1 is in flight
    assert losers_key == "2"  # both keys are free: the turn of the second


@in_virtual_time
async def test_invalid_answer_loses_to_the_response_of_the_other_target() -> None:
    mismatch = OutputSchemaMismatch("missed")
    call = hedged_call()

    response = await retrying_hedged(Providers(mock=(3.0, mismatch), claude=(5.0, None)))(call)

    assert response.metadata.provider == "claude"
