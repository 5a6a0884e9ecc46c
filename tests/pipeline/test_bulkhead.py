"""Places at a provider: held while an answer is on its way, and given back however it ends."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.core.errors import GatewayError, Overloaded, ProviderInternalError
from aimanager_server.core.handler import compose
from aimanager_server.core.response import Event
from aimanager_server.pipeline.bulkhead import Places
from tests.support.calls import TARGET, WHOLE, FakeClock, Upstream, call, settle

FAILED = ProviderInternalError("The provider failed.")


def places(most: int = 1, queue_length: int = 1, queue_seconds: float = 0.02) -> Places:
    return Places({TARGET.provider: most}, queue_length, queue_seconds, FakeClock())


async def test_a_provider_without_a_number_is_not_limited() -> None:
    upstream = Upstream()
    handler = compose([Places({"another": 1}, 0, 1.0, FakeClock())], upstream)

    replies = [await handler(call()) for _ in range(3)]

    assert len(replies) == len(upstream.calls) == 3


async def test_a_full_provider_turns_a_call_away_after_a_moment() -> None:
    handler = compose([places()], Upstream())
    await handler(call())

    with pytest.raises(Overloaded, match="'mock' has 1 calls under way") as caught:
        await handler(call())

    fault = caught.value
    assert (fault.provider, fault.model, fault.retry_after) == ("mock", "mock-large", 1.0)
    assert (fault.spec.fallback, fault.spec.breaker_effect, fault.spec.retryable) == ("next", "ignore", False)


async def test_a_call_that_waits_takes_the_place_of_an_answer_that_ended() -> None:
    handler = compose([places(queue_seconds=60.0)], Upstream())
    first = await handler(call())
    second = asyncio.ensure_future(handler(call()))
    await settle()
    waited = not second.done()

    events = [event async for event in first]

    assert (waited, events) == (True, list(WHOLE))
    await asyncio.wait_for(second, 5.0)


async def test_a_call_waits_no_longer_than_its_deadline() -> None:
    handler = compose([places(queue_seconds=60.0)], Upstream())
    await handler(call())

    with pytest.raises(Overloaded):
        await asyncio.wait_for(handler(call(deadline=1000.02)), 5.0)


async def test_waiting_for_a_place_is_no_overhead_of_ours() -> None:
    handler, late = compose([places()], Upstream()), call()
    await handler(call())

    with pytest.raises(Overloaded):
        await handler(late)

    assert late.upstream_timer.seconds > 0.01


@pytest.mark.parametrize("outcome", [FAILED, (WHOLE[0], FAILED)])
async def test_a_place_is_given_back_after_a_failure(outcome: GatewayError | tuple[Event | GatewayError, ...]) -> None:
    layer = places(queue_length=0)
    handler = compose([layer], Upstream(outcome))

    async def ask() -> None:
        await (await handler(call())).result()

    for _ in range(3):
        with pytest.raises(ProviderInternalError):
            await ask()


async def test_a_place_is_given_back_by_a_reply_that_is_closed_unread() -> None:
    upstream = Upstream()
    handler = compose([places(queue_length=0)], upstream)

    for _ in range(3):
        reply = await handler(call())
        await reply.aclose()
        await reply.aclose()

    assert upstream.closed == 6


async def test_a_cancelled_call_gives_its_place_back() -> None:
    layer, entered = places(queue_length=2, queue_seconds=60.0), asyncio.Event()

    async def stay(_: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(layer(call(), stay))  # type: ignore[arg-type]
    await entered.wait()
    second = asyncio.create_task(layer(call(), stay))  # type: ignore[arg-type]
    third = asyncio.create_task(layer(call(), Upstream()))
    await settle()
    second.cancel()
    first.cancel()

    await asyncio.wait_for(third, 5.0)
