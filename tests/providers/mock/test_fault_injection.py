from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core.errors import (
    DeadlineExceeded,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRateLimited,
    StreamInterrupted,
    all_errors,
)
from aimanager_server.core.request import Caller
from aimanager_server.core.response import Event, Finished, PartCompleted, ReasoningDelta, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.mock.provider import REMEMBERED, Mock
from tests.support.calls import FakeClock
from tests.support.mock_provider import DEADLINE, call, into, mock, said, streamed


async def test_latency_and_rate_take_their_time() -> None:
    clock = FakeClock()

    await streamed("[[reply: a b c]] [[latency: 0.5]] [[rate: 50]]", provider=mock(clock))

    assert clock.pauses == pytest.approx([0.5, 0.02, 0.02])


async def test_the_configuration_sets_the_pace_where_no_script_does() -> None:
    clock = FakeClock()
    provider = mock(clock, latency=2.0, rate=4.0)

    await streamed("[[reply: a b]]", provider=provider)
    await streamed("[[reply: a b]] [[latency: 0]] [[rate: 2]]", provider=provider)

    assert clock.pauses == pytest.approx([2.0, 0.25, 0.5])


async def test_waiting_is_not_the_gateways_own_time() -> None:
    asked = call("[[latency: 0]] Hi")

    await mock()(asked)

    assert asked.upstream_timer.seconds > 0


@pytest.mark.parametrize("reason", [fault.spec.reason for fault in all_errors()])
async def test_it_fails_with_any_reason(reason: str) -> None:
    provider = mock()

    with pytest.raises(Exception) as failed:  # noqa: PT011 - which one is the fact under test
        await provider(call(f"[[error: {reason} retry_after=2.5]]"))

    assert getattr(failed.value, "reason", "") == reason
    assert getattr(failed.value, "retry_after", None) == 2.5


async def test_an_error_without_a_number_stays() -> None:
    provider = mock()

    for _ in range(5):
        with pytest.raises(ProviderOverloaded):
            await provider(call("[[error: PROVIDER_OVERLOADED]]"))


async def test_errors_with_a_number_take_their_turns_and_pass() -> None:
    provider = mock()
    asked = "Hi [[error: PROVIDER_RATE_LIMITED retry_after=2 times=1]] [[error: PROVIDER_OVERLOADED times=2]]"

    with pytest.raises(ProviderRateLimited):
        await provider(call(asked))
    for model in ("mock-large", "mock-small"):
        with pytest.raises(ProviderOverloaded):
            await provider(call(asked, model=model))

    assert 'You said: "Hi"' in await said(asked, provider=provider)
    assert 'You said: "Hi"' in await said(asked, provider=provider)


async def test_failures_are_counted_by_caller_and_prompt() -> None:
    provider = mock()
    asked = "[[error: PROVIDER_OVERLOADED times=1]]"

    for other in (call(asked), call(asked, caller=Caller("bob")), call("x", asked)):
        with pytest.raises(ProviderOverloaded):
            await provider(other)


async def test_only_so_many_prompts_are_remembered() -> None:
    provider = mock()
    for number in range(REMEMBERED + 1):
        with pytest.raises(ProviderOverloaded):
            await provider(call(f"{number} [[error: PROVIDER_OVERLOADED times=1]]"))

    assert await said(f"{REMEMBERED} [[error: PROVIDER_OVERLOADED times=1]]", provider=provider)
    with pytest.raises(ProviderOverloaded):
        await provider(call("0 [[error: PROVIDER_OVERLOADED times=1]]"))


@pytest.mark.parametrize(("cut", "shown"), [(1, ["a "]), (3, ["a ", "b ", "c"]), (99, ["a ", "b ", "c"])])
async def test_a_stream_is_lost_after_so_many_tokens(cut: int, shown: list[str]) -> None:
    reply = await mock()(call(f"[[reply: a b c]] [[cut: {cut}]]", streaming=True))
    seen: list[Event] = []

    with pytest.raises(StreamInterrupted) as lost:
        await into(seen, reply)

    assert [event.text for event in seen if isinstance(event, TextDelta)] == shown
    assert not any(isinstance(event, Finished) for event in seen)
    assert lost.value.usage == Usage(6, len(shown), source=UsageSource.REPORTED)


@pytest.mark.parametrize("facts", [{"streaming": True}, {}])
async def test_a_cut_before_anything_was_shown_is_a_broken_protocol(facts: dict[str, Any]) -> None:
    with pytest.raises(ProviderProtocolError):
        await mock()(call("[[reply: a b c]] [[cut: 0]]", **facts))


async def test_a_whole_answer_that_is_cut_shows_nothing() -> None:
    with pytest.raises(ProviderProtocolError):
        await mock()(call("[[reply: a b c]] [[cut: 2]]"))


async def test_an_empty_answer_can_be_cut() -> None:
    with pytest.raises(ProviderProtocolError):
        await mock()(call("[[reply:]] [[cut: 2]]", streaming=True))


@pytest.mark.parametrize("stall", [2, 99])
async def test_a_stall_lasts_until_the_deadline(stall: int) -> None:
    clock = FakeClock()
    reply = await mock(clock)(call(f"[[reasoning: a]] [[reply: b]] [[stall: {stall}]]", streaming=True))
    seen: list[Event] = []

    with pytest.raises(StreamInterrupted, match="deadline") as late:
        await into(seen, reply)

    assert clock.time == DEADLINE
    assert [type(event) for event in seen] == [ReasoningDelta, PartCompleted, TextDelta, PartCompleted]
    assert late.value.usage == Usage(6, 2, reasoning_tokens=1, source=UsageSource.REPORTED)


async def test_a_whole_answer_that_stalls_shows_nothing() -> None:
    with pytest.raises(DeadlineExceeded):
        await mock()(call("[[reply: a b c]] [[stall: 2]]"))


async def test_a_stall_before_anything_is_said_keeps_the_caller_waiting() -> None:
    clock = FakeClock()

    with pytest.raises(DeadlineExceeded) as late:
        await mock(clock)(call("[[stall: 0]]", streaming=True))

    assert clock.time == DEADLINE
    assert late.value.usage is None


async def test_a_stall_ends_with_a_cancel() -> None:
    loop = asyncio.get_running_loop()
    provider = Mock({}, loop.time, asyncio.sleep)
    asked = replace(call("[[stall: 0]]", streaming=True), deadline=loop.time() + 1000)
    task = asyncio.create_task(provider(asked))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_never_outlives_the_deadline() -> None:
    clock = FakeClock()

    with pytest.raises(DeadlineExceeded):
        await mock(clock)(call("[[latency: 5000]]"))

    assert clock.time == DEADLINE


async def test_a_deadline_that_passed_is_not_waited_for() -> None:
    clock = FakeClock(DEADLINE + 1)

    with pytest.raises(DeadlineExceeded):
        await mock(clock)(call("Hi"))

    assert clock.pauses == []


async def test_a_stream_can_be_given_up() -> None:
    reply = await mock()(call("[[words: 100]]", streaming=True))
    events = aiter(reply)
    await anext(events)

    await reply.aclose()
    await reply.aclose()

    assert [event async for event in events] == []


async def test_a_stream_given_up_before_it_is_read_says_nothing_more() -> None:
    reply = await mock()(call("[[words: 100]]", streaming=True))

    await reply.aclose()

    assert len([event async for event in reply]) <= 1


async def test_it_is_always_there() -> None:
    provider = mock()

    await provider.probe()
    await provider.aclose()

    assert await said("Hi", provider=provider)
