"""Generate and StreamGenerate: what a handler's events become, and what is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.content import Attachment, Part, Reasoning, Text, ToolCall, ToolResult
from aimanager_server.core.errors import StreamInterrupted
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    ResponseMetadata,
    ResponseStream,
    SettingWarning,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.usage import Cost, Usage, UsageSource
from tests.support.rpc import HELLO, QUESTION, STREAMED, build, reply_of_events, saying, serving
from tests.support.rpc_errors import refusal


async def events_of(call: Any) -> list[generation_pb2.StreamGenerateResponse]:
    return [event async for event in call]


def kinds(events: Sequence[generation_pb2.StreamGenerateResponse]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]


async def test_a_whole_answer_carries_all_that_is_known() -> None:
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

        head = ResponseMetadata(
            "a-1",
            "claude/latest",
            "claude",
            "claude-x",
            (AttemptRecord("openai", "gpt", "PROVIDER_ERROR", 0.5), AttemptRecord("claude", "claude-x", "", 0.25)),
            (SettingWarning("sampling.temperature", "Left out."),),
            time_to_first_token=0.75,
            from_cache=True,
        )
        return ResponseStream(head, events(), close)

    async with serving(build(handle)) as world:
        answer = await world.generation.Generate(QUESTION)

    part, attempt = content_pb2.Part, generation_pb2.Attempt
    assert answer == generation_pb2.GenerateResponse(
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
        route=generation_pb2.Route(
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
        warnings=[generation_pb2.Warning(field="sampling.temperature", message="Left out.")],
        from_cache=True,
    )


async def test_an_unknown_price_is_no_cost_at_all() -> None:
    async with serving(build()) as world:
        answer = await world.generation.Generate(QUESTION)

    assert not answer.HasField("cost")


async def test_a_stream_starts_tells_and_completes_in_order() -> None:
    handler = saying(
        ReasoningDelta(0, "Hm"),
        PartCompleted(0, Reasoning("Hm")),
        TextDelta(1, "Hello"),
        PartCompleted(1, Text("Hello")),
        ToolCallDelta(2, "t1", "look", '{"a"'),
        PartCompleted(2, ToolCall("t1", "look", '{"a": 1}')),
        Finished(FinishReason.TOOL_CALLS),
    )
    async with serving(build(handler)) as world:
        events = await events_of(world.generation.StreamGenerate(STREAMED))
        whole = await world.generation.Generate(QUESTION)

    assert kinds(events) == ["started", *["delta", "part_completed"] * 3, "completed"]
    assert [event.sequence for event in events] == list(range(8))
    assert events[0].started.route.provider == "mock"
    assert (events[1].delta.index, events[1].delta.reasoning) == (0, "Hm")
    assert events[3].delta.text == "Hello"
    assert events[5].delta.tool_call == content_pb2.ToolCall(id="t1", name="look", arguments_json='{"a"')
    assert events[6].part_completed.part.tool_call.arguments_json == '{"a": 1}'
    completed = events[7].completed
    assert completed.id == events[0].started.id
    assert completed.message.parts == whole.message.parts


async def test_files_and_tool_results_can_be_said_too() -> None:
    picture = Attachment("image/png", "a.png", data=b"png")
    link = Attachment("image/png", uri="https://example.test/a.png")
    result = ToolResult("t1", "draw", "done", (picture,))
    said: tuple[Part, ...] = (picture, link, result, Attachment("text/plain"))
    events = [PartCompleted(index, part) for index, part in enumerate(said)]
    async with serving(build(saying(*events, Finished(FinishReason.STOP)))) as world:
        answer = await world.generation.Generate(QUESTION)

    parts = answer.message.parts
    assert (parts[0].attachment.data, parts[1].attachment.uri) == (b"png", "https://example.test/a.png")
    assert parts[2].tool_result.attachments[0].filename == "a.png"
    assert parts[3].attachment.WhichOneof("source") is None


async def test_lone_surrogates_from_a_provider_do_not_break_the_stream() -> None:
    handler = saying(
        TextDelta(0, "\ud83d"), PartCompleted(0, Text("\ud83d\ude00")), Finished(FinishReason.STOP, "\udfff")
    )
    async with serving(build(handler)) as world:
        events = await events_of(world.generation.StreamGenerate(STREAMED))

    assert events[1].delta.text == "\N{REPLACEMENT CHARACTER}"
    assert events[2].part_completed.part.text == "\N{GRINNING FACE}"


async def test_a_stream_without_its_end_is_never_completed() -> None:
    seen: list[generation_pb2.StreamGenerateResponse] = []
    async with serving(build(saying(TextDelta(0, "Hel")))) as world:

        async def read() -> None:
            async for event in world.generation.StreamGenerate(STREAMED):
                seen.append(event)

        failed = await refusal(read())

    assert (failed.code, failed.reason) == (grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED")
    assert kinds(seen) == ["started", "delta"]


async def test_an_interrupted_stream_says_what_was_paid_for() -> None:
    fault = StreamInterrupted("Lost.", provider="mock")
    fault.usage = Usage(7, 3)

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            raise fault

        return reply_of_events(call, events())

    async with serving(build(handle)) as world:
        failed = await refusal(world.generation.StreamGenerate(STREAMED))

    assert failed.reason == "STREAM_INTERRUPTED"
    assert failed.detail(usage_pb2.Usage).output_tokens == 3
    assert failed.trailers["grpc-retry-pushback-ms"] == "-1"


@pytest.mark.parametrize("breaks", [False, True], ids=["to the end", "broken"])
async def test_a_stream_closes_what_it_came_from(breaks: bool) -> None:
    closed = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            for event in HELLO:
                yield event
            if breaks:
                raise StreamInterrupted("Lost.")

        return reply_of_events(call, events(), closed)

    async with serving(build(handle)) as world:
        call = world.generation.StreamGenerate(STREAMED)
        await (refusal(call) if breaks else events_of(call))

    assert closed.is_set()


async def test_a_client_that_leaves_closes_a_reply_that_is_no_generator() -> None:
    closed, reading = asyncio.Event(), asyncio.Event()

    class Silent:
        def __aiter__(self) -> AsyncIterator[Event]:
            return self

        async def __anext__(self) -> Event:
            reading.set()
            await asyncio.Event().wait()
            raise StopAsyncIteration

    async def handle(call: Call) -> ResponseStream:
        return reply_of_events(call, Silent(), closed)

    async with serving(build(handle)) as world:
        call = world.generation.StreamGenerate(STREAMED)
        await reading.wait()
        call.cancel()
        await asyncio.wait_for(closed.wait(), 10)
