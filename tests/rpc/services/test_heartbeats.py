"""Heartbeats: an idle stream sends them, and they disturb nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import generation_pb2
from aimanager_server.core.content import Text
from aimanager_server.core.errors import StreamInterrupted
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, TextDelta
from aimanager_server.core.stream import ResponseStream
from tests.support.rpc import (
    HELLO_EVENTS,
    REQUEST,
    STREAM_REQUEST,
    build_server,
    event_kinds,
    events_of,
    running,
    stream_of,
    text_of,
)
from tests.support.rpc_errors import failure_of


async def test_heartbeats_are_sent_before_and_after_the_first_content() -> None:
    start_stream, end_stream = asyncio.Event(), asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            await end_stream.wait()
            yield PartCompleted(0, Text("Hello"))
            yield Finished(FinishReason.STOP)

        await start_stream.wait()
        return stream_of(call, events())

    received: list[generation_pb2.StreamGenerateResponse] = []
    async with running(build_server(handle, heartbeat_seconds=0.01)) as gateway:
        async for event in gateway.generation.StreamGenerate(STREAM_REQUEST):
            received.append(event)
            kinds = event_kinds(received)
            if kinds.count("heartbeat") == 2:
                start_stream.set()
            if "delta" in kinds and kinds[-1] == "heartbeat":
                end_stream.set()

    kinds = event_kinds(received)
    assert kinds[:2] == ["heartbeat", "heartbeat"]
    assert "heartbeat" in kinds[kinds.index("delta") : kinds.index("part_completed")]
    assert kinds[-1] == "completed"
    assert [event.sequence for event in received] == list(range(len(received)))
    assert received[1].heartbeat.elapsed.ToNanoseconds() > received[0].heartbeat.elapsed.ToNanoseconds() > 0


async def test_heartbeats_do_not_cancel_the_pending_read() -> None:
    cancelled = False
    finish_read = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            nonlocal cancelled
            try:
                await finish_read.wait()
            except asyncio.CancelledError:
                cancelled = True
                raise
            for event in HELLO_EVENTS:
                yield event

        return stream_of(call, events())

    received: list[generation_pb2.StreamGenerateResponse] = []
    async with running(build_server(handle, heartbeat_seconds=0.005)) as gateway:
        async for event in gateway.generation.StreamGenerate(STREAM_REQUEST):
            received.append(event)
            if event_kinds(received).count("heartbeat") == 2:
                finish_read.set()

    assert not cancelled
    assert text_of(received[-1].completed) == "Hello"


async def test_a_failure_after_a_heartbeat_keeps_its_error_details() -> None:
    heartbeat_received = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        await heartbeat_received.wait()
        raise StreamInterrupted("Lost.")

    async with running(build_server(handle, heartbeat_seconds=0.005)) as gateway:
        call = aiter(gateway.generation.StreamGenerate(STREAM_REQUEST))
        await anext(call)
        heartbeat_received.set()
        failure = await failure_of(call)

    assert failure.reason == "STREAM_INTERRUPTED"


async def test_a_client_that_cancels_between_heartbeats_causes_no_error(
    log_events: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    handler_ended = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        try:
            await asyncio.Event().wait()
        finally:
            handler_ended.set()
        raise AssertionError

    async with running(build_server(handle, heartbeat_seconds=0.005)) as gateway:
        call = gateway.generation.StreamGenerate(STREAM_REQUEST)
        await call.read()
        call.cancel()
        await asyncio.wait_for(handler_ended.wait(), 10)

    assert not [event for event in log_events if event["event"] == "rpc.crashed"]
    assert caplog.text == ""


async def test_the_heartbeat_interval_must_be_at_least_a_second() -> None:
    intervals = [Duration(nanos=999_999_999), Duration(seconds=-5), Duration()]
    async with running(build_server()) as gateway:
        failures = [
            await failure_of(
                gateway.generation.StreamGenerate(
                    generation_pb2.StreamGenerateRequest(request=REQUEST, heartbeat_interval=interval)
                )
            )
            for interval in intervals
        ]

    assert [list(failure.fields) for failure in failures] == [["heartbeat_interval"]] * 3


async def test_a_very_long_heartbeat_interval_is_accepted() -> None:
    interval = Duration(seconds=315_576_000_000)
    request = generation_pb2.StreamGenerateRequest(request=REQUEST, heartbeat_interval=interval)
    async with running(build_server()) as gateway:
        events = await events_of(gateway.generation.StreamGenerate(request))

    assert event_kinds(events)[-1] == "completed"
