"""Generate and StreamGenerate: conversion of a handler's events, and closing of its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from aimanager_server.core.content import Attachment, Part, Reasoning, Text, ToolCall, ToolResult
from aimanager_server.core.errors import StreamInterrupted
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    CacheStatus,
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    ResponseMetadata,
    SettingWarning,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost, Usage, UsageSource
from tests.support.calls import ended_record
from tests.support.rpc import (
    HELLO_EVENTS,
    REQUEST,
    STREAM_REQUEST,
    answering,
    build_server,
    event_kinds,
    events_of,
    running,
    stream_of,
)
from tests.support.rpc_errors import failure_of


async def test_a_unary_response_contains_every_field() -> None:
    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield PartCompleted(0, Reasoning("Hm", provider_state=b"sig"))
            yield PartCompleted(1, Text("Hello"))
            yield PartCompleted(2, ToolCall("t1", "look", "{}"))
            yield Finished(
                FinishReason.TOOL_CALLS,
                "tool_use",
                Usage(5, 4, 3, 2, 1, UsageSource.REPORTED),
                Cost(10, 20),
                latency=1.25,
            )

        async def close() -> None: ...

        metadata = ResponseMetadata(
            "a-1",
            "claude/latest",
            "claude",
            "claude-x",
            (ended_record("openai", "gpt", "PROVIDER_ERROR", 0.5), ended_record("claude", "claude-x", "", 0.25)),
            (SettingWarning("sampling.temperature", "Omitted."),),
            time_to_first_token=0.75,
            cache_status=CacheStatus.IDEMPOTENT_REPLAY,
        )
        return ResponseStream.from_iterator(metadata, events(), close)

    async with running(build_server(handle)) as gateway:
        response = await gateway.generation.Generate(REQUEST)

    part, attempt = content_pb2.Part, generation_pb2.Attempt
    assert response == generation_pb2.GenerateResponse(
        id="a-1",
        message=content_pb2.Message(
            id="a-1",
            role=content_pb2.ROLE_ASSISTANT,
            parts=[
                part(reasoning=content_pb2.Reasoning(text="Hm"), provider_state=b"sig"),
                part(text="Hello"),
                part(tool_call=content_pb2.ToolCall(id="t1", name="look", arguments_json="{}")),
            ],
            provider="claude",
            model="claude-x",
        ),
        finish_reason=generation_pb2.FINISH_REASON_TOOL_CALLS,
        provider_finish_reason="tool_use",
        usage=usage_pb2.Usage(
            input_tokens=5,
            output_tokens=4,
            cache_read_tokens=3,
            cache_write_tokens=2,
            reasoning_tokens=1,
            source=usage_pb2.USAGE_SOURCE_REPORTED,
        ),
        cost=usage_pb2.Cost(currency_code="USD", total_nanos=30, input_nanos=10, output_nanos=20, estimated=True),
        execution=generation_pb2.Execution(
            requested_model="claude/latest",
            provider="claude",
            model="claude-x",
            attempts=[
                attempt(
                    provider="openai", model="gpt", error_reason="PROVIDER_ERROR", duration=Duration(nanos=500_000_000)
                ),
                attempt(provider="claude", model="claude-x", duration=Duration(nanos=250_000_000)),
            ],
            latency=Duration(seconds=1, nanos=250_000_000),
            time_to_first_token=Duration(nanos=750_000_000),
        ),
        warnings=[generation_pb2.Warning(field="sampling.temperature", message="Omitted.")],
        cache_status=usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY,
    )


async def test_an_unknown_cost_is_unset() -> None:
    async with running(build_server()) as gateway:
        response = await gateway.generation.Generate(REQUEST)

    assert not response.HasField("cost")


async def test_a_stream_starts_sends_deltas_and_completes_in_order() -> None:
    handler = answering(
        ReasoningDelta(0, "Hm"),
        PartCompleted(0, Reasoning("Hm")),
        TextDelta(1, "Hello"),
        PartCompleted(1, Text("Hello")),
        ToolCallDelta(2, "t1", "look", '{"a"'),
        PartCompleted(2, ToolCall("t1", "look", '{"a": 1}')),
        Finished(FinishReason.TOOL_CALLS),
    )
    async with running(build_server(handler)) as gateway:
        events = await events_of(gateway.generation.StreamGenerate(STREAM_REQUEST))
        unary = await gateway.generation.Generate(REQUEST)

    assert event_kinds(events) == ["started", *["delta", "part_completed"] * 3, "completed"]
    assert [event.sequence for event in events] == list(range(8))
    assert events[0].started.execution.provider == "mock"
    assert (events[1].delta.index, events[1].delta.reasoning) == (0, "Hm")
    assert events[3].delta.text == "Hello"
    assert events[5].delta.tool_call == content_pb2.ToolCall(id="t1", name="look", arguments_json='{"a"')
    assert events[6].part_completed.part.tool_call.arguments_json == '{"a": 1}'
    completed = events[7].completed
    assert completed.id == events[0].started.id
    assert completed.message.parts == unary.message.parts


async def test_attachments_and_tool_results_are_converted() -> None:
    picture = Attachment("image/png", "a.png", data=b"png")
    link = Attachment("image/png", uri="https://example.test/a.png")
    result = ToolResult("t1", "draw", "done", (picture,))
    sent: tuple[Part, ...] = (picture, link, result, Attachment("text/plain"))
    events = [PartCompleted(index, part) for index, part in enumerate(sent)]
    async with running(build_server(answering(*events, Finished(FinishReason.STOP)))) as gateway:
        response = await gateway.generation.Generate(REQUEST)

    parts = response.message.parts
    assert (parts[0].attachment.data, parts[1].attachment.uri) == (b"png", "https://example.test/a.png")
    assert parts[2].tool_result.attachments[0].filename == "a.png"
    assert parts[3].attachment.WhichOneof("source") is None


async def test_lone_surrogates_from_a_provider_are_replaced() -> None:
    handler = answering(
        TextDelta(0, "\ud83d"), PartCompleted(0, Text("\ud83d\ude00")), Finished(FinishReason.STOP, "\udfff")
    )
    async with running(build_server(handler)) as gateway:
        events = await events_of(gateway.generation.StreamGenerate(STREAM_REQUEST))

    assert events[1].delta.text == "\N{REPLACEMENT CHARACTER}"
    assert events[2].part_completed.part.text == "\N{GRINNING FACE}"


async def test_a_stream_without_a_completion_event_fails() -> None:
    received: list[generation_pb2.StreamGenerateResponse] = []
    async with running(build_server(answering(TextDelta(0, "Hel")))) as gateway:

        async def read() -> None:
            async for event in gateway.generation.StreamGenerate(STREAM_REQUEST):
                received.append(event)

        failure = await failure_of(read())

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED")
    assert event_kinds(received) == ["started", "delta"]


async def test_an_interrupted_stream_reports_its_usage() -> None:
    error = StreamInterrupted("Lost.", provider="mock", usage=Usage(7, 3))

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            raise error

        return stream_of(call, events())

    async with running(build_server(handle)) as gateway:
        failure = await failure_of(gateway.generation.StreamGenerate(STREAM_REQUEST))

    assert failure.reason == "STREAM_INTERRUPTED"
    assert failure.detail(usage_pb2.Usage).output_tokens == 3
    assert failure.trailers["grpc-retry-pushback-ms"] == "-1"


@pytest.mark.parametrize("interrupted", [False, True], ids=["completed", "interrupted"])
async def test_the_handlers_stream_is_closed(interrupted: bool) -> None:
    closed = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield HELLO_EVENTS[0]
            if interrupted:
                raise StreamInterrupted("Lost.")
            for event in HELLO_EVENTS[1:]:
                yield event

        return stream_of(call, events(), closed)

    async with running(build_server(handle)) as gateway:
        call = gateway.generation.StreamGenerate(STREAM_REQUEST)
        await (failure_of(call) if interrupted else events_of(call))

    assert closed.is_set()


async def test_a_cancelled_call_closes_a_stream_that_is_not_a_generator() -> None:
    closed, reading = asyncio.Event(), asyncio.Event()

    class SilentIterator:
        def __aiter__(self) -> AsyncIterator[Event]:
            return self

        async def __anext__(self) -> Event:
            reading.set()
            await asyncio.Event().wait()
            raise StopAsyncIteration

    async def handle(call: Call) -> ResponseStream:
        return stream_of(call, SilentIterator(), closed)

    async with running(build_server(handle)) as gateway:
        call = gateway.generation.StreamGenerate(STREAM_REQUEST)
        await reading.wait()
        call.cancel()
        await asyncio.wait_for(closed.wait(), 10)


async def test_paths_of_invalid_fields_are_those_of_the_request_that_was_sent() -> None:
    invalid = generation_pb2.GenerateRequest(
        sampling=generation_pb2.SamplingOptions(temperature=3.0),
        tool_choice=generation_pb2.ToolChoice(mode=42),  # type: ignore[arg-type]  # unknown
    )
    async with running(build_server()) as gateway:
        unary = await failure_of(gateway.generation.Generate(invalid))
        stream = await failure_of(
            gateway.generation.StreamGenerate(generation_pb2.StreamGenerateRequest(request=invalid))
        )
        outer = await failure_of(
            gateway.generation.StreamGenerate(generation_pb2.StreamGenerateRequest(on_interruption=9))  # type: ignore[arg-type]  # unknown
        )

    assert list(unary.fields) == ["tool_choice.mode", "messages", "sampling.temperature"]
    assert list(stream.fields) == [f"request.{field}" for field in unary.fields]
    assert unary.message.startswith("3 fields are invalid. First: tool_choice.mode must be")
    assert stream.message.startswith("3 fields are invalid. First: request.tool_choice.mode must be")
    assert list(outer.fields) == ["on_interruption"]
