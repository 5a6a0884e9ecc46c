"""Latency, rate, errors, cuts and stalls of the mock provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimanager_server.core.errors import (
    DeadlineExceeded,
    GatewayError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRateLimited,
    StreamInterrupted,
    all_errors,
)
from aimanager_server.core.request import Caller
from aimanager_server.core.response import Event, Finished, PartCompleted, ReasoningDelta, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.mock.call_counts import MAX_TRACKED_PROMPTS
from aimanager_server.providers.mock.provider import MockProvider
from tests.support.clock import FakeClock
from tests.support.mock_provider import DEADLINE, append_events, attempt, mock, reply_text, stream_events


async def test_latency_and_rate_delay_the_response() -> None:
    clock = FakeClock()

    await stream_events("[[reply: a b c]] [[latency: 0.5]] [[rate: 50]]", provider=mock(clock))

    assert clock.sleeps == pytest.approx([0.5, 0.02, 0.02])


async def test_configured_latency_and_rate_are_defaults() -> None:
    clock = FakeClock()
    provider = mock(clock, latency=2.0, rate=4.0)

    await stream_events("[[reply: a b]]", provider=provider)
    await stream_events("[[reply: a b]] [[latency: 0]] [[rate: 2]]", provider=provider)

    assert clock.sleeps == pytest.approx([2.0, 0.25, 0.5])


async def test_delays_count_as_upstream_time() -> None:
    prompt = attempt("[[latency: 0]] Hi")

    await mock()(prompt)

    assert prompt.upstream_timer.seconds > 0


async def test_every_reason_can_be_injected() -> None:
    provider = mock()
    reasons = [error_type.spec.reason for error_type in all_errors()]
    caught = []

    for reason in reasons:
        with pytest.raises(GatewayError) as injected:
            await provider(attempt(f"[[error: {reason} retry_after=2.5]]"))
        caught.append((injected.value.reason, injected.value.retry_after))

    assert caught == [(reason, 2.5) for reason in reasons]


async def test_an_error_without_times_applies_to_every_call() -> None:
    provider = mock()

    for _ in range(5):
        with pytest.raises(ProviderOverloaded):
            await provider(attempt("[[error: PROVIDER_OVERLOADED]]"))


async def test_errors_with_times_apply_in_order_and_then_end() -> None:
    provider = mock()
    prompt = "Hi [[error: PROVIDER_RATE_LIMITED retry_after=2 times=1]] [[error: PROVIDER_OVERLOADED times=2]]"

    with pytest.raises(ProviderRateLimited):
        await provider(attempt(prompt))
    for model in ("mock-large", "mock-small"):
        with pytest.raises(ProviderOverloaded):
            await provider(attempt(prompt, model=model))

    assert 'You said: "Hi"' in await reply_text(prompt, provider=provider)
    assert 'You said: "Hi"' in await reply_text(prompt, provider=provider)


async def test_calls_are_counted_by_caller_and_prompt() -> None:
    provider = mock()
    prompt = "[[error: PROVIDER_OVERLOADED times=1]]"

    for other in (attempt(prompt), attempt(prompt, caller=Caller("bob")), attempt("x", prompt)):
        with pytest.raises(ProviderOverloaded):
            await provider(other)


async def test_the_number_of_tracked_prompts_is_limited() -> None:
    provider = mock()
    for number in range(MAX_TRACKED_PROMPTS + 1):
        with pytest.raises(ProviderOverloaded):
            await provider(attempt(f"{number} [[error: PROVIDER_OVERLOADED times=1]]"))

    assert await reply_text(f"{MAX_TRACKED_PROMPTS} [[error: PROVIDER_OVERLOADED times=1]]", provider=provider)
    with pytest.raises(ProviderOverloaded):
        await provider(attempt("0 [[error: PROVIDER_OVERLOADED times=1]]"))


@pytest.mark.parametrize(("cut", "emitted"), [(1, ["a "]), (3, ["a ", "b ", "c"]), (99, ["a ", "b ", "c"])])
async def test_a_cut_interrupts_a_stream_after_the_given_tokens(cut: int, emitted: list[str]) -> None:
    stream = await mock()(attempt(f"[[reply: a b c]] [[cut: {cut}]]", streaming=True))
    events: list[Event] = []

    with pytest.raises(StreamInterrupted) as caught:
        await append_events(events, stream)

    assert [event.text for event in events if isinstance(event, TextDelta)] == emitted
    assert not any(isinstance(event, Finished) for event in events)
    assert caught.value.usage == Usage(6, len(emitted), source=UsageSource.REPORTED)


@pytest.mark.parametrize("fields", [{"streaming": True}, {}])
async def test_a_cut_before_the_first_token_is_a_protocol_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ProviderProtocolError):
        await mock()(attempt("[[reply: a b c]] [[cut: 0]]", **fields))


async def test_a_cut_unary_response_is_a_protocol_error() -> None:
    with pytest.raises(ProviderProtocolError):
        await mock()(attempt("[[reply: a b c]] [[cut: 2]]"))


async def test_an_empty_response_can_be_cut() -> None:
    with pytest.raises(ProviderProtocolError):
        await mock()(attempt("[[reply:]] [[cut: 2]]", streaming=True))


@pytest.mark.parametrize("stall", [2, 99])
async def test_a_stall_lasts_until_the_deadline(stall: int) -> None:
    clock = FakeClock()
    stream = await mock(clock)(attempt(f"[[reasoning: a]] [[reply: b]] [[stall: {stall}]]", streaming=True))
    events: list[Event] = []

    with pytest.raises(StreamInterrupted, match="deadline") as caught:
        await append_events(events, stream)

    assert clock.time == DEADLINE
    assert [type(event) for event in events] == [ReasoningDelta, PartCompleted, TextDelta, PartCompleted]
    assert caught.value.usage == Usage(6, 2, reasoning_tokens=1, source=UsageSource.REPORTED)


async def test_a_stalled_unary_response_exceeds_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        await mock()(attempt("[[reply: a b c]] [[stall: 2]]"))


async def test_a_stall_before_the_first_token_exceeds_the_deadline() -> None:
    clock = FakeClock()

    with pytest.raises(DeadlineExceeded) as caught:
        await mock(clock)(attempt("[[stall: 0]]", streaming=True))

    assert clock.time == DEADLINE
    assert caught.value.usage is None


async def test_a_stall_ends_on_cancellation() -> None:
    loop = asyncio.get_running_loop()
    provider = MockProvider({}, loop.time, asyncio.sleep)
    prompt = attempt("[[stall: 0]]", streaming=True, deadline=loop.time() + 1000)
    task = asyncio.create_task(provider(prompt))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_latency_is_limited_by_the_deadline() -> None:
    clock = FakeClock()

    with pytest.raises(DeadlineExceeded):
        await mock(clock)(attempt("[[latency: 5000]]"))

    assert clock.time == DEADLINE


async def test_an_expired_deadline_causes_no_delay() -> None:
    clock = FakeClock(DEADLINE + 1)

    with pytest.raises(DeadlineExceeded):
        await mock(clock)(attempt("Hi"))

    assert clock.sleeps == []


async def test_a_stream_can_be_closed() -> None:
    stream = await mock()(attempt("[[words: 100]]", streaming=True))
    events = aiter(stream)
    await anext(events)

    await stream.aclose()
    await stream.aclose()

    assert [event async for event in events] == []


async def test_a_stream_closed_before_reading_yields_at_most_the_first_event() -> None:
    stream = await mock()(attempt("[[words: 100]]", streaming=True))

    await stream.aclose()

    assert len([event async for event in stream]) <= 1


async def test_probes_always_succeed() -> None:
    provider = mock()

    await provider.probe()
    await provider.aclose()

    assert await reply_text("Hi", provider=provider)
