import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core import errors
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, Finished, PartCompleted, ResponseStream, TextDelta
from aimanager_server.core.usage import Cost, UsageSource, add_cost, add_usage
from aimanager_server.pipeline.structured_output import Conform
from tests.support.calls import USAGE, FakeClock, Upstream
from tests.support.mock_provider import into
from tests.support.structured_output import BAD, EMULATING, GOOD, conformed, question, saying


async def test_a_native_stream_flows_and_has_its_json_at_the_end() -> None:
    reply = await Conform(FakeClock())(question(streaming=True), Upstream(saying(GOOD)))
    events = aiter(reply)

    assert await anext(events) == TextDelta(0, GOOD)
    last = [event async for event in events][-1]
    assert isinstance(last, Finished)
    assert last.structured_json == GOOD


async def test_a_native_stream_that_breaks_its_promise_fails_at_its_end() -> None:
    seen: list[Event] = []
    reply = await Conform(FakeClock())(question(streaming=True), Upstream(saying(BAD)))

    with pytest.raises(errors.OutputSchemaMismatch) as raised:
        await into(seen, reply)

    assert [type(event) for event in seen] == [TextDelta, PartCompleted]
    assert raised.value.usage == USAGE


async def test_a_stream_without_its_end_stays_without() -> None:
    events = await conformed(question(streaming=True), Upstream(saying(GOOD)[:-1]))

    assert events == list(saying(GOOD)[:-1])


async def test_an_answer_without_its_end_is_no_answer() -> None:
    with pytest.raises(errors.ProviderProtocolError):
        await conformed(question(), Upstream(saying(GOOD)[:-1]))


async def test_an_emulated_stream_shows_nothing_of_an_answer_that_misses() -> None:
    upstream = Upstream(saying(BAD), saying(GOOD))

    events = await conformed(question(EMULATING, streaming=True), upstream)

    assert [event.text for event in events if isinstance(event, TextDelta)] == [GOOD]
    assert all(asked.streaming for asked in upstream.calls)


async def test_a_reply_is_closed_whether_it_was_read_or_not() -> None:
    upstream = Upstream(saying(GOOD))

    reply = await Conform(FakeClock())(question(), upstream)

    assert upstream.closed == 1
    await reply.aclose()


async def test_a_cancelled_reading_closes_the_answer() -> None:
    class Silent(Upstream):
        async def __call__(self, call: Call) -> ResponseStream:
            reply = await super().__call__(call)

            async def events() -> Any:
                await asyncio.Event().wait()
                yield None

            return ResponseStream(reply.metadata, events(), self._close)

    upstream = Silent()
    task = asyncio.create_task(conformed(question(), upstream))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstream.closed == 1


def test_what_is_known_of_two_usages_is_what_is_known_of_the_worse() -> None:
    assert add_usage(USAGE, replace(USAGE, source=UsageSource.MISSING)).source is UsageSource.MISSING


def test_a_cost_that_is_not_known_makes_the_sum_unknown() -> None:
    assert add_cost(None, Cost(1, 1)) is None
    assert add_cost(Cost(1, 1, estimated=True), Cost(2, 2, estimated=False)) == Cost(3, 3, estimated=True)
