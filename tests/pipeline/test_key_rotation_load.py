"""Keys that are chosen by the calls under way with each."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.core import errors
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream, TextDelta
from tests.support.calls import USAGE, Upstream, call
from tests.support.key_pool import World, used


async def test_calls_go_to_the_key_with_the_fewest_under_way() -> None:
    world, upstream = World(spread="least_loaded"), Upstream()
    first = await world.answer(upstream)
    second = await world.answer(upstream)

    await first.result()
    third = await world.answer(upstream)
    await second.aclose()
    await third.aclose()
    await world.answer(upstream)

    assert used(upstream) == ["1", "2", "1", "2"]


async def test_a_key_is_free_once_its_answer_has_failed() -> None:
    world = World(spread="least_loaded")
    broken = await world.answer(Upstream((TextDelta(0, "Hel"), errors.StreamInterrupted("cut"))))
    with pytest.raises(errors.StreamInterrupted):
        await broken.result()
    await world.fail(Upstream(errors.ProviderInternalError("down")), errors.ProviderInternalError)

    async def cancelled(_: Call) -> ResponseStream:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.rotate(call(), cancelled)

    upstream = Upstream()
    await world.answer(upstream)
    await world.answer(upstream)
    assert sorted(used(upstream)) == ["1", "2"]


async def test_a_counted_answer_still_tells_what_it_took() -> None:
    async def proceed(asked: Call) -> ResponseStream:
        reply = await Upstream()(asked)
        return ResponseStream(reply.metadata, aiter(reply), reply.aclose, lambda: USAGE)

    reply = await World(spread="least_loaded").rotate(call(), proceed)

    assert reply.usage_so_far() == USAGE
