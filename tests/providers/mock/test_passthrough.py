"""Trouble of the mock that passes, thinking that nobody sees, and what an answer took so far."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, ProviderOverloaded, StreamInterrupted
from aimanager_server.core.response import Event, PartCompleted, ReasoningProgress, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.mock.provider import Mock
from tests.support.calls import FakeClock
from tests.support.mock_provider import DEADLINE, answer, call, into, mock, said, streamed

REPORTED = UsageSource.REPORTED


async def test_thinking_that_nobody_sees_is_signs_and_tokens() -> None:
    events = await streamed("[[think: 2]] [[reply: Yes.]]")

    assert events[:-1] == [
        ReasoningProgress(),
        ReasoningProgress(),
        TextDelta(0, "Yes."),
        PartCompleted(0, Text("Yes.")),
    ]
    assert events[-1] == (await answer("[[think: 2]] [[reply: Yes.]]")).finished
    assert events[-1].usage == Usage(4, 3, reasoning_tokens=2, source=REPORTED)


async def test_behind_nothing_but_thinking_comes_the_default_answer() -> None:
    assert 'You said: "Hi"' in await said("Hi [[think: 3]]")


async def test_a_whole_answer_has_no_signs_of_thinking() -> None:
    reply = await mock()(call("[[think: 2]] [[reply: Yes.]]"))

    assert not any(isinstance(event, ReasoningProgress) for event in [event async for event in reply])


async def test_thinking_can_stall_and_takes_its_time() -> None:
    clock = FakeClock()

    await streamed("[[think: 2]] [[reply: Yes.]] [[stall: 2 seconds=7]] [[rate: 4]]", provider=mock(clock))

    assert clock.pauses == pytest.approx([0.25, 7.0, 0.25])


@pytest.mark.parametrize("trouble", ["[[cut: 1 times=1]]", "[[stall: 1 times=1]]"])
async def test_trouble_with_a_number_passes(trouble: str) -> None:
    provider = mock()
    asked = call(f"[[reply: a b]] {trouble}", streaming=True)
    seen: list[Event] = []

    with pytest.raises(StreamInterrupted):
        await into(seen, await provider(asked))
    await into(seen, await provider(replace(asked, deadline=2 * DEADLINE)))

    assert [event.text for event in seen if isinstance(event, TextDelta)] == ["a ", "a ", "b"]


async def test_a_latency_with_a_number_gives_way_to_the_configured_one() -> None:
    clock = FakeClock()
    provider = mock(clock, latency=0.5)

    for _ in range(2):
        await said("Hi [[latency: 9 times=1]]", provider=provider)

    assert clock.pauses == [9.0, 0.5]


async def test_errors_with_a_number_go_before_other_trouble() -> None:
    provider = mock()
    asked = call("[[reply: a b]] [[cut: 1 times=1]] [[error: PROVIDER_OVERLOADED times=1]]", streaming=True)

    with pytest.raises(ProviderOverloaded):
        await provider(asked)
    with pytest.raises(StreamInterrupted):
        await (await provider(asked)).result()

    assert (await (await provider(asked)).result()).message.parts == (Text("a b"),)


async def test_a_stall_of_seconds_goes_on_and_comes_once() -> None:
    clock = FakeClock()

    texts = [await said(f"[[reply: a b]] [[stall: {at} seconds=2]]", provider=mock(clock)) for at in (1, 99)]

    assert texts == ["a b", "a b"]
    assert clock.pauses == [2.0, 2.0]


async def test_a_deadline_within_an_answer_is_told_as_its_cause() -> None:
    reply = await mock()(call("[[reply: a b]] [[stall: 1]]", streaming=True))

    with pytest.raises(StreamInterrupted) as late:
        await reply.result()

    assert isinstance(late.value.__cause__, DeadlineExceeded)


async def test_what_was_said_so_far_is_what_it_took() -> None:
    loop = asyncio.get_running_loop()
    asked = call("[[reply: a b c]] [[stall: 2]] [[usage: 10/20]]", streaming=True)
    reply = await Mock({}, loop.time, asyncio.sleep)(replace(asked, deadline=loop.time() + 1000))
    events = aiter(reply)
    await anext(events)
    first = reply.usage_so_far()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            [event async for event in events]

    assert first == Usage(10, 1, source=REPORTED)
    assert reply.usage_so_far() == Usage(10, 2, source=REPORTED)


@pytest.mark.parametrize("streaming", [True, False])
async def test_of_a_whole_answer_everything_is_known(streaming: bool) -> None:
    reply = await mock()(call("[[reply: a b c]] [[usage: 10/20]]", streaming=streaming))

    completion = await reply.result()

    assert reply.usage_so_far() == completion.finished.usage == Usage(10, 20, source=REPORTED)
