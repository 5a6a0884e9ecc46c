"""Streams in asyncio: pieces, text, events, interruption and cancellation."""

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
from tests.support.fake_gateway.messages import error_status, make_response, stream_events
from tests.support.fake_gateway.server import ErrorStatus, FakeGateway, Hang

Event = generation_pb2.StreamGenerateResponse
USAGE = usage_pb2.Usage(output_tokens=9, source=usage_pb2.USAGE_SOURCE_ESTIMATED)
INTERRUPTED = error_status(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "Stream interrupted.", details=[USAGE])
RATE_LIMIT = error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.001)


async def test_config_disables_streaming() -> None:
    ai = AsyncAIManager("", "mock", config=AIConfig(enable_streaming=False))

    with pytest.raises(ConfigurationError, match="enable_streaming"):
        ai.stream("Hi")


async def test_pieces_add_up_to_the_response(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")

    pieces = [piece async for piece in stream]

    assert [piece.content for piece in pieces] == ["Hel", "lo.", ""]
    assert stream.response.content == "Hello."


async def test_text_and_events_are_yielded(async_ai: AsyncAIManager, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("remember")

    text = [text async for text in async_ai.stream("Hi", attachments=[notes]).text]
    events = [event async for event in async_ai.stream("Hi").events]

    assert text == ["Hel", "lo."]
    assert isinstance(events[-1], AIResponse)


async def test_tool_call_deltas_are_no_pieces(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    call = generation_pb2.PartDelta(index=0, tool_call=content_pb2.ToolCall(id="1"))
    fake.respond("StreamGenerate", [Event(sequence=9), Event(delta=call), Event(completed=make_response())])

    assert [piece.content async for piece in async_ai.stream("Hi")] == [""]


async def test_interruption_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hello.")[:2], INTERRUPTED])
    stream = async_ai.stream("Hi")

    with pytest.raises(StreamInterruptedError):
        _ = [text async for text in stream.text]
    with pytest.raises(StreamInterruptedError):
        _ = stream.response


async def test_invalid_prompt_raises_on_the_first_read(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("")

    with pytest.raises(InvalidRequestError):
        _ = [piece async for piece in stream]


async def test_leaving_the_block_cancels_the_call(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hello.")[:2], Hang()])

    async with async_ai.stream("Hi") as stream:
        pieces = aiter(stream)
        await anext(pieces)

    assert await asyncio.to_thread(fake.call_ended.wait, 10)
    await pieces.aclose()


async def test_block_without_a_read_sends_nothing(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    async with async_ai.stream("Hi"):
        pass

    assert not fake.received


async def test_cancelled_task_cancels_the_call(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hello.")[:2], Hang()])

    async def read() -> None:
        async for _ in async_ai.stream("Hi"):
            pass

    task = asyncio.create_task(read())
    await asyncio.to_thread(fake.hanging.wait, 10)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(fake.call_ended.wait, 10)


async def test_rate_limit_is_retried(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", RATE_LIMIT, stream_events(make_response(), "Hello."))

    assert [text async for text in async_ai.stream("Hi").text] == ["Hello."]


async def test_provider_error_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", error_status(grpc.StatusCode.UNAVAILABLE, "PROVIDER_OVERLOADED"))

    with pytest.raises(ProviderError):
        _ = [piece async for piece in async_ai.stream("Hi")]


async def test_partial_response_is_readable_after_an_early_exit(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    lost = ErrorStatus(grpc.StatusCode.UNAVAILABLE, "Socket closed")
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hel", "lo.")[:2], lost])
    stream, lost_stream = async_ai.stream("Hi"), async_ai.stream("Hi")

    async for _ in stream.text:
        break
    with pytest.raises(StreamInterruptedError, match="connection to the gateway was lost"):
        await lost_stream.complete()

    assert (str(stream.partial), str(lost_stream.partial)) == ("Hel", "Hel")
    assert repr(stream) == "AsyncAIStream(AIResponse(provider='mock', model='mock-large', content='Hel'))"
