import asyncio
from typing import Any

import pytest

from aimanager_server.core.errors import (
    ProviderInternalError,
    ProviderOverloaded,
)
from aimanager_server.core.request import Attempt
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.calls import make_attempt
from tests.support.event_loop import in_virtual_time
from tests.support.hedging import OTHER, PERCENTILE, Providers, attempts_of, hedged_call, hedging, send
from tests.support.layers import new_metrics
from tests.support.metrics import sample_value


@in_virtual_time
async def test_fast_response_is_not_hedged() -> None:
    providers = Providers(mock=(1.0, None))

    response = await send(hedging(), providers)

    assert response.metadata.provider == "mock"
    assert list(providers.started) == ["mock"]


@in_virtual_time
async def test_slow_request_is_hedged_and_cancelled_when_the_second_wins() -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    response = await send(hedging(), providers)

    assert response.metadata.provider == "claude"
    assert providers.started == {"mock": 0.0, "claude": PERCENTILE}
    assert providers.cancelled == ["mock"]
    assert asyncio.get_running_loop().time() == PERCENTILE + 1.0


@in_virtual_time
async def test_both_attempts_are_recorded_with_the_losers_usage() -> None:
    call = hedged_call()

    await send(hedging(), Providers(mock=(60.0, None), claude=(1.0, None)), call)

    assert attempts_of(call) == [("mock", "CANCELLED"), ("claude", "")]
    loser, winner = call.attempts.records
    assert (loser.duration, winner.duration) == (3.0, 1.0)
    assert loser.usage is not None
    assert loser.usage.source is UsageSource.ESTIMATED


@in_virtual_time
async def test_loser_that_was_not_sent_is_recorded_as_cancelled() -> None:
    call = hedged_call()
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    response = await hedging()(make_attempt(call), lambda: make_attempt(call, target=OTHER), providers)

    assert response.metadata.provider == "claude"
    assert attempts_of(call) == [("mock", "CANCELLED"), ("claude", "")]
    assert call.attempts.records[0].usage is None


@in_virtual_time
async def test_first_request_can_still_win() -> None:
    providers = Providers(mock=(3.0, None), claude=(5.0, None))

    response = await send(hedging(), providers)

    assert response.metadata.provider == "mock"
    assert providers.cancelled == ["claude"]


@in_virtual_time
async def test_error_before_the_delay_is_raised_without_hedging() -> None:
    providers = Providers(mock=(1.0, ProviderInternalError("down")), claude=(1.0, None))

    with pytest.raises(ProviderInternalError):
        await send(hedging(), providers)

    assert list(providers.started) == ["mock"]


@in_virtual_time
async def test_error_of_one_request_leaves_the_other_in_flight() -> None:
    failed, call = ProviderInternalError("down", usage=Usage(7)), hedged_call()

    response = await send(hedging(), Providers(mock=(3.0, failed), claude=(5.0, None)), call)

    assert response.metadata.provider == "claude"
    assert attempts_of(call)[0] == ("mock", "PROVIDER_ERROR")
    assert call.attempts.records[0].usage == Usage(7)


@in_virtual_time
async def test_first_error_is_raised_if_both_fail() -> None:
    call = hedged_call()
    providers = Providers(mock=(9.0, ProviderInternalError("down")), claude=(1.0, ProviderOverloaded("busy")))

    with pytest.raises(ProviderInternalError):
        await send(hedging(), providers, call)

    assert attempts_of(call) == [("mock", "PROVIDER_ERROR"), ("claude", "PROVIDER_OVERLOADED")]


@in_virtual_time
async def test_overlapping_waits_count_once_as_upstream_time() -> None:
    call = hedged_call()

    await send(hedging(), Providers(mock=(60.0, None), claude=(1.0, None)), call)

    assert call.upstream_timer.seconds == PERCENTILE + 1.0


@in_virtual_time
async def test_hedged_requests_stay_within_the_ratio() -> None:
    metrics = new_metrics()
    layer = hedging(max_ratio=0.1, metrics=metrics)

    for _ in range(100):
        await send(layer, Providers(mock=(60.0, None), claude=(1.0, None)))

    assert sample_value(metrics.registry, "aimanager_hedged_requests_total", provider="mock", model="mock-large") == 10


@in_virtual_time
async def test_hedging_ratio_holds_for_concurrent_slow_calls() -> None:
    metrics = new_metrics()
    layer = hedging(max_ratio=0.05, metrics=metrics)

    await asyncio.gather(*(send(layer, Providers(mock=(9.0, None), claude=(1.0, None))) for _ in range(100)))

    assert sample_value(metrics.registry, "aimanager_hedged_requests_total", provider="mock", model="mock-large") <= 5


@in_virtual_time
async def test_winning_response_is_closed_if_the_call_is_cancelled_while_the_loser_ends() -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    async def slow_to_cancel(attempt: Attempt[Any]) -> ResponseStream:
        try:
            return await providers(attempt)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            raise

    task = asyncio.ensure_future(send(hedging(), slow_to_cancel))
    await asyncio.sleep(PERCENTILE + 1.5)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(5)

    assert providers.closed == ["claude"]


@in_virtual_time
async def test_response_is_returned_or_closed_whenever_the_call_is_cancelled() -> None:
    leaked = []

    for turns in range(25):
        providers = Providers(mock=(60.0, None), claude=(1.0, None))
        task = asyncio.ensure_future(send(hedging(), providers))
        await asyncio.sleep(PERCENTILE + 1.0)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        await asyncio.sleep(5)
        if not (isinstance(outcome, ResponseStream) or "claude" in (*providers.closed, *providers.cancelled)):
            leaked.append(turns)

    assert leaked == []


@in_virtual_time
async def test_simultaneous_response_and_error_are_both_recorded() -> None:
    call = hedged_call()
    providers = Providers(mock=(3.0, ProviderInternalError("down")), claude=(1.0, None))

    response = await send(hedging(), providers, call)

    assert response.metadata.provider == "claude"
    assert attempts_of(call)[0] == ("mock", "PROVIDER_ERROR")


@in_virtual_time
async def test_unknown_latency_percentile_disables_hedging() -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    response = await send(hedging(percentile=None), providers)

    assert response.metadata.provider == "mock"
    assert list(providers.started) == ["mock"]


@in_virtual_time
async def test_cancelled_call_cancels_both_requests() -> None:
    providers = Providers(mock=(60.0, None), claude=(60.0, None))
    task = asyncio.ensure_future(send(hedging(), providers))
    await asyncio.sleep(10)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(providers.cancelled) == ["claude", "mock"]


@in_virtual_time
async def test_simultaneous_losing_response_is_closed() -> None:
    providers = Providers(mock=(3.0, None), claude=(1.0, None))

    await send(hedging(), providers)

    assert providers.closed + providers.cancelled == ["claude"]
