"""The concurrency limit of a provider: permits are held while a response is in flight and always released."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.config.settings import ProviderSettings, ServerSettings
from aimanager_server.core.errors import GatewayError, Overloaded, ProviderInternalError
from aimanager_server.core.handler import compose
from aimanager_server.core.response import Event
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.bulkhead import ProviderConcurrency
from tests.support.calls import TARGET, make_attempt, make_call
from tests.support.clock import FakeClock
from tests.support.event_loop import run_ready_tasks
from tests.support.upstream import RESPONSE_EVENTS, ScriptedUpstream

FAILED = ProviderInternalError("The provider failed.")


def concurrency_limit(limit: int = 1, queue_length: int = 1, queue_seconds: float = 0.02) -> ProviderConcurrency:
    providers = {TARGET.provider: ProviderSettings(wire="mock", max_in_flight=limit)}
    server = ServerSettings(max_queue_length=queue_length, queue_timeout_seconds=queue_seconds)
    return ProviderConcurrency(providers, server, FakeClock())


async def test_provider_without_limit_is_not_restricted() -> None:
    upstream = ScriptedUpstream()
    providers = {"another": ProviderSettings(wire="mock", max_in_flight=1)}
    handler = compose([ProviderConcurrency(providers, ServerSettings(), FakeClock())], upstream)

    responses = [await handler(make_attempt()) for _ in range(3)]

    assert len(responses) == len(upstream.requests) == 3


async def test_call_over_the_limit_is_rejected_after_the_queue_timeout() -> None:
    handler = compose([concurrency_limit()], ScriptedUpstream())
    await handler(make_attempt())

    with pytest.raises(Overloaded, match=r"limit reached for provider 'mock' \(1 calls in flight\)") as raised:
        await handler(make_attempt())

    error = raised.value
    assert (error.provider, error.model, error.retry_after) == ("mock", "mock-large", 1.0)
    assert (error.spec.fallback, error.spec.breaker_effect, error.spec.retryable) == ("next", "ignore", False)


async def test_queued_call_proceeds_when_a_response_ends() -> None:
    handler = compose([concurrency_limit(queue_seconds=60.0)], ScriptedUpstream())
    first = await handler(make_attempt())
    second = asyncio.ensure_future(handler(make_attempt()))
    await run_ready_tasks()
    was_queued = not second.done()

    events = [event async for event in first]

    assert (was_queued, events) == (True, list(RESPONSE_EVENTS))
    await asyncio.wait_for(second, 5.0)


async def test_queued_call_is_rejected_at_its_deadline() -> None:
    handler = compose([concurrency_limit(queue_seconds=60.0)], ScriptedUpstream())
    await handler(make_attempt())

    with pytest.raises(Overloaded):
        await asyncio.wait_for(handler(make_attempt(make_call(deadline=1000.02))), 5.0)


async def test_queue_time_counts_as_upstream_time() -> None:
    handler, queued = compose([concurrency_limit()], ScriptedUpstream()), make_attempt()
    await handler(make_attempt())

    with pytest.raises(Overloaded):
        await handler(queued)

    assert queued.upstream_timer.seconds > 0.01


@pytest.mark.parametrize("outcome", [FAILED, (RESPONSE_EVENTS[0], FAILED)])
async def test_permit_is_released_after_a_failure(outcome: GatewayError | tuple[Event | GatewayError, ...]) -> None:
    layer = concurrency_limit(queue_length=0)
    handler = compose([layer], ScriptedUpstream(outcome))

    async def send() -> None:
        await (await handler(make_attempt())).result()

    for _ in range(3):
        with pytest.raises(ProviderInternalError):
            await send()


async def test_permit_is_released_once_when_an_unread_response_is_closed() -> None:
    upstream = ScriptedUpstream()
    handler = compose([concurrency_limit(queue_length=0)], upstream)

    for _ in range(3):
        response = await handler(make_attempt())
        await response.aclose()
        await response.aclose()

    assert upstream.closed == 3


async def test_cancelled_calls_release_their_permits() -> None:
    layer, entered = concurrency_limit(queue_length=2, queue_seconds=60.0), asyncio.Event()

    async def hold(_: object) -> ResponseStream:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.ensure_future(layer(make_attempt(), hold))
    await entered.wait()
    second = asyncio.ensure_future(layer(make_attempt(), hold))
    third = asyncio.ensure_future(layer(make_attempt(), ScriptedUpstream()))
    await run_ready_tasks()
    second.cancel()
    first.cancel()

    await asyncio.wait_for(third, 5.0)
