"""Restarted streams in asyncio."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import pytest

from aimanager import AsyncAIManager, Restarted, StreamInterruptedError
from aimanager.v1 import generation_pb2
from tests.support.fake_gateway.messages import error_status, make_response
from tests.support.fake_gateway.restarts import interrupted, one_stream, restarted
from tests.support.fake_gateway.server import FakeGateway, Hang

RESPONSE = make_response("Hello.")
FAILED = error_status(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "All targets failed.")


@pytest.fixture
def restarting(fake: FakeGateway) -> FakeGateway:
    """Streams `Wr`, restarts, and streams `Hello.`"""
    fake.respond("StreamGenerate", one_stream(interrupted("W", "r"), restarted(RESPONSE, "Hel", "lo.")))
    return fake


@pytest.mark.usefixtures("restarting")
async def test_events_continue_after_a_restart(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")

    restarts = [event async for event in stream.events if isinstance(event, Restarted)]

    assert [restart.model for restart in restarts] == ["mock-large"]
    assert stream.response.content == "Hello."


@pytest.mark.usefixtures("restarting")
async def test_text_raises_and_complete_awaits_the_new_response(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")
    with pytest.raises(StreamInterruptedError, match="is being restarted"):
        _ = [text async for text in stream.text]
    with pytest.raises(RuntimeError, match="complete"):
        _ = stream.response

    response = await stream.complete()

    assert response.content == "Hello."
    assert stream.response == response == await stream.complete()


@pytest.mark.usefixtures("restarting")
async def test_second_reader_receives_the_new_pieces(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        _ = [piece async for piece in stream]

    assert [text async for text in stream.text] == ["Hel", "lo."]


async def test_failed_restart_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", one_stream(interrupted("W"), [FAILED]))
    stream = async_ai.stream("Hi")
    with pytest.raises(StreamInterruptedError, match="is being restarted"):
        _ = [text async for text in stream.text]

    with pytest.raises(StreamInterruptedError, match="All targets failed"):
        await stream.complete()


async def test_leaving_the_block_after_a_restart_cancels_the_call(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", one_stream(interrupted("W"), [Hang()]))

    async with async_ai.stream("Hi") as stream:
        with pytest.raises(StreamInterruptedError):
            _ = [text async for text in stream.text]
        assert not fake.call_ended.is_set()

    assert await asyncio.to_thread(fake.call_ended.wait, 10)
    with pytest.raises(StreamInterruptedError, match="is being restarted"):
        await stream.complete()


async def test_dropped_stream_cancels_its_call(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("StreamGenerate", one_stream(interrupted("W"), [Hang()]))

    async def read_and_drop() -> None:
        with suppress(StreamInterruptedError):
            _ = [text async for text in async_ai.stream("Hi").text]

    await read_and_drop()

    assert await asyncio.to_thread(fake.call_ended.wait, 10)


async def test_interruption_policy_is_sent(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    await async_ai.stream("Hi", on_interruption="fail").complete()
    await async_ai.stream("Hi").complete()

    policies = [call.request.on_interruption for call in fake.received]
    assert policies == [generation_pb2.INTERRUPTION_POLICY_FAIL, generation_pb2.INTERRUPTION_POLICY_RESTART]
