"""Faults limited to the first calls, hidden reasoning, and the usage so far."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, ProviderOverloaded, StreamInterrupted
from aimanager_server.core.response import Event, PartCompleted, ReasoningProgress, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.mock.provider import MockProvider
from tests.support.clock import FakeClock
from tests.support.mock_provider import DEADLINE, append_events, attempt, generate, mock, reply_text, stream_events

REPORTED = UsageSource.REPORTED


async def test_hidden_reasoning_is_progress_events_and_tokens() -> None:
    events = await stream_events("[[think: 2]] [[reply: Yes.]]")

    assert events[:-1] == [
        ReasoningProgress(),
        ReasoningProgress(),
        TextDelta(0, "Yes."),
        PartCompleted(0, Text("Yes.")),
    ]
    assert events[-1] == (await generate("[[think: 2]] [[reply: Yes.]]")).finished
    assert events[-1].usage == Usage(4, 3, reasoning_tokens=2, source=REPORTED)


async def test_the_default_response_follows_hidden_reasoning() -> None:
    assert 'You said: "Hi"' in await reply_text("Hi [[think: 3]]")


async def test_a_unary_response_has_no_progress_events() -> None:
    stream = await mock()(attempt("[[think: 2]] [[reply: Yes.]]"))

    assert not any(isinstance(event, ReasoningProgress) for event in [event async for event in stream])


async def test_hidden_reasoning_is_subject_to_rate_and_stalls() -> None:
    clock = FakeClock()

    await stream_events("[[think: 2]] [[reply: Yes.]] [[stall: 2 seconds=7]] [[rate: 4]]", provider=mock(clock))

    assert clock.sleeps == pytest.approx([0.25, 7.0, 0.25])


@pytest.mark.parametrize("fault", ["[[cut: 1 times=1]]", "[[stall: 1 times=1]]"])
async def test_a_fault_with_times_ends(fault: str) -> None:
    provider = mock()
    prompt = f"[[reply: a b]] {fault}"
    collected: list[Event] = []

    with pytest.raises(StreamInterrupted):
        await append_events(collected, await provider(attempt(prompt, streaming=True)))
    await append_events(collected, await provider(attempt(prompt, streaming=True, deadline=2 * DEADLINE)))

    assert [event.text for event in collected if isinstance(event, TextDelta)] == ["a ", "a ", "b"]


async def test_a_latency_with_times_falls_back_to_the_configured_one() -> None:
    clock = FakeClock()
    provider = mock(clock, latency=0.5)

    for _ in range(2):
        await reply_text("Hi [[latency: 9 times=1]]", provider=provider)

    assert clock.sleeps == [9.0, 0.5]


async def test_errors_with_times_apply_before_other_faults() -> None:
    provider = mock()
    faulty = attempt("[[reply: a b]] [[cut: 1 times=1]] [[error: PROVIDER_OVERLOADED times=1]]", streaming=True)

    with pytest.raises(ProviderOverloaded):
        await provider(faulty)
    with pytest.raises(StreamInterrupted):
        await (await provider(faulty)).result()

    assert (await (await provider(faulty)).result()).message.parts == (Text("a b"),)


async def test_a_stall_of_seconds_continues_and_occurs_once() -> None:
    clock = FakeClock()

    texts = [await reply_text(f"[[reply: a b]] [[stall: {at} seconds=2]]", provider=mock(clock)) for at in (1, 99)]

    assert texts == ["a b", "a b"]
    assert clock.sleeps == [2.0, 2.0]


async def test_a_deadline_within_a_stream_is_the_cause_of_its_interruption() -> None:
    stream = await mock()(attempt("[[reply: a b]] [[stall: 1]]", streaming=True))

    with pytest.raises(StreamInterrupted) as caught:
        await stream.result()

    assert isinstance(caught.value.__cause__, DeadlineExceeded)


async def test_the_usage_so_far_counts_emitted_tokens() -> None:
    loop = asyncio.get_running_loop()
    stalled = attempt("[[reply: a b c]] [[stall: 2]] [[usage: 10/20]]", streaming=True, deadline=loop.time() + 1000)
    stream = await MockProvider({}, loop.time, asyncio.sleep)(stalled)
    events = aiter(stream)
    await anext(events)
    first = stream.usage_so_far()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            [event async for event in events]

    assert first == Usage(10, 1, source=REPORTED)
    assert stream.usage_so_far() == Usage(10, 2, source=REPORTED)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_complete_response_has_its_full_usage(streaming: bool) -> None:
    stream = await mock()(attempt("[[reply: a b c]] [[usage: 10/20]]", streaming=streaming))

    result = await stream.result()

    assert stream.usage_so_far() == result.finished.usage == Usage(10, 20, source=REPORTED)
