"""A stream in asyncio: the same pieces, and cancelling."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from aimanager import (
    AIConfig,
    AIResponse,
    AsyncAIManager,
    ConfigurationError,
    InvalidRequestError,
    ProviderError,
    StreamInterruptedError,
)
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.fake_gateway.server import FakeGateway, Silence, answer, events, refusal

Event = generation_pb2.StreamGenerateResponse
USAGE = usage_pb2.Usage(output_tokens=9, source=usage_pb2.USAGE_SOURCE_ESTIMATED)
CUT = refusal(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "The answer was cut off.", details=[USAGE])
BUSY = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.001)


async def test_the_async_switch_works_alike() -> None:
    ai = AsyncAIManager("", "mock", config=AIConfig(enable_streaming=False))

    with pytest.raises(ConfigurationError, match="enable_streaming"):
        ai.stream("Hi")


async def test_async_pieces_add_up(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")

    pieces = [piece async for piece in stream]

    assert [piece.content for piece in pieces] == ["Hel", "lo.", ""]
    assert stream.response.content == "Hello."


async def test_async_text_and_events(async_ai: AsyncAIManager, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    text = [text async for text in async_ai.stream("Hi", attachments=[notes]).text]
    kinds = [event async for event in async_ai.stream("Hi").events]

    assert text == ["Hel", "lo."]
    assert isinstance(kinds[-1], AIResponse)


async def test_async_tool_deltas_are_no_pieces(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    call = generation_pb2.PartDelta(index=0, tool_call=content_pb2.ToolCall(id="1"))
    fake.will("StreamGenerate", [Event(sequence=9), Event(delta=call), Event(completed=answer())])

    assert [piece.content async for piece in async_ai.stream("Hi")] == [""]


async def test_an_async_interruption_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("StreamGenerate", [*events(answer(), "Hello.")[:2], CUT])
    stream = async_ai.stream("Hi")

    with pytest.raises(StreamInterruptedError):
        _ = [text async for text in stream.text]
    with pytest.raises(StreamInterruptedError):
        _ = stream.response


async def test_an_async_request_that_cannot_be_built_fails_at_the_first_read(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("")

    with pytest.raises(InvalidRequestError):
        _ = [piece async for piece in stream]


async def test_leaving_an_async_block_cancels_the_call(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("StreamGenerate", [*events(answer(), "Hello.")[:2], Silence()])

    async with async_ai.stream("Hi") as stream:
        pieces = aiter(stream)
        await anext(pieces)

    assert await asyncio.to_thread(fake.ended.wait, 10)
    await pieces.aclose()


async def test_an_async_block_without_a_read_sends_nothing(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    async with async_ai.stream("Hi"):
        pass

    assert not fake.received


async def test_cancelling_the_task_cancels_the_call(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("StreamGenerate", [*events(answer(), "Hello.")[:2], Silence()])

    async def read() -> None:
        async for _ in async_ai.stream("Hi"):
            pass

    task = asyncio.create_task(read())
    await asyncio.to_thread(fake.silenced.wait, 10)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(fake.ended.wait, 10)


async def test_an_async_rate_limit_is_waited_for(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("StreamGenerate", BUSY, events(answer(), "Hello."))

    assert [text async for text in async_ai.stream("Hi").text] == ["Hello."]


async def test_an_async_provider_failure_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("StreamGenerate", refusal(grpc.StatusCode.UNAVAILABLE, "PROVIDER_OVERLOADED"))

    with pytest.raises(ProviderError):
        _ = [piece async for piece in async_ai.stream("Hi")]
