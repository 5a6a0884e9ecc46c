"""Silence is broken, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import generation_pb2
from aimanager_server.core.content import Text
from aimanager_server.core.errors import StreamInterrupted
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, ResponseStream, TextDelta
from aimanager_server.rpc.services.generation import Timeouts
from tests.support.rpc import HELLO, QUESTION, STREAMED, build, reply_of_events, serving
from tests.support.rpc_errors import refusal


async def events_of(call: Any) -> list[generation_pb2.StreamGenerateResponse]:
    return [event async for event in call]


def kinds(events: Sequence[generation_pb2.StreamGenerateResponse]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]


async def test_silence_is_broken_before_and_after_the_first_content() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            await second.wait()
            yield PartCompleted(0, Text("Hello"))
            yield Finished(FinishReason.STOP)

        await first.wait()
        return reply_of_events(call, events())

    seen: list[generation_pb2.StreamGenerateResponse] = []
    async with serving(build(handle, timeouts=Timeouts(heartbeat=0.01))) as world:
        async for event in world.generation.StreamGenerate(STREAMED):
            seen.append(event)
            beats = kinds(seen).count("heartbeat")
            if beats == 2:
                first.set()
            if "delta" in kinds(seen) and kinds(seen)[-1] == "heartbeat":
                second.set()

    told = kinds(seen)
    assert told[:2] == ["heartbeat", "heartbeat"]
    assert "heartbeat" in told[told.index("delta") : told.index("part_completed")]
    assert told[-1] == "completed"
    assert [event.sequence for event in seen] == list(range(len(seen)))
    assert seen[1].heartbeat.elapsed.ToNanoseconds() > seen[0].heartbeat.elapsed.ToNanoseconds() > 0


async def test_a_heartbeat_does_not_disturb_the_read_it_waits_beside() -> None:
    cancelled = False

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            nonlocal cancelled
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.1)
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                cancelled = True
                raise
            for event in HELLO:
                yield event

        return reply_of_events(call, events())

    async with serving(build(handle, timeouts=Timeouts(heartbeat=0.005))) as world:
        events = await events_of(world.generation.StreamGenerate(STREAMED))

    assert not cancelled
    assert kinds(events).count("heartbeat") > 1
    assert events[-1].completed.message.parts[0].text == "Hello"


async def test_a_failure_after_a_heartbeat_still_has_its_details() -> None:
    async def handle(call: Call) -> ResponseStream:
        await asyncio.wait_for(beaten.wait(), 10)
        raise StreamInterrupted("Lost.")

    beaten = asyncio.Event()
    async with serving(build(handle, timeouts=Timeouts(heartbeat=0.005))) as world:
        call = aiter(world.generation.StreamGenerate(STREAMED))
        await anext(call)
        beaten.set()
        failed = await refusal(call)

    assert failed.reason == "STREAM_INTERRUPTED"


async def test_a_client_that_leaves_under_heartbeats_leaves_nothing_behind(
    logged: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    left = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError

    async with serving(build(handle, timeouts=Timeouts(heartbeat=0.005))) as world:
        call = world.generation.StreamGenerate(STREAMED)
        await call.read()
        call.cancel()
        await asyncio.wait_for(left.wait(), 10)

    assert not [event for event in logged if event["event"] == "rpc.crashed"]
    assert caplog.text == ""


@pytest.mark.parametrize("interval", [Duration(nanos=999_999_999), Duration(seconds=-5), Duration()], ids=str)
async def test_heartbeats_cannot_be_asked_for_too_often(interval: Duration) -> None:
    request = generation_pb2.StreamGenerateRequest(request=QUESTION, heartbeat_interval=interval)
    async with serving(build()) as world:
        seen = await refusal(world.generation.StreamGenerate(request))

    assert list(seen.fields) == ["heartbeat_interval"]


async def test_a_very_long_heartbeat_interval_is_fine() -> None:
    interval = Duration(seconds=315_576_000_000)
    request = generation_pb2.StreamGenerateRequest(request=QUESTION, heartbeat_interval=interval)
    async with serving(build()) as world:
        events = await events_of(world.generation.StreamGenerate(request))

    assert kinds(events)[-1] == "completed"
