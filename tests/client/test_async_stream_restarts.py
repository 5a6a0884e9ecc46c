"""A stream whose answer begins again, in asyncio."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import pytest

from aimanager import AsyncAIManager, Restarted, StreamInterruptedError
from aimanager.v1 import generation_pb2
from tests.support.fake_gateway.restarts import begun_again, cut, numbered
from tests.support.fake_gateway.server import FakeGateway, Silence, answer, refusal

WHOLE = answer("Hello.")
GAVE_UP = refusal(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "Nobody is left.")


@pytest.fixture
def restarting(fake: FakeGateway) -> FakeGateway:
    """Says Wr, begins again, and says Hello."""
    fake.will("StreamGenerate", numbered(cut("W", "r"), begun_again(WHOLE, "Hel", "lo.")))
    return fake


@pytest.mark.usefixtures("restarting")
async def test_async_events_go_on_after_a_restart(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")

    restarts = [event async for event in stream.events if isinstance(event, Restarted)]

    assert [restart.model for restart in restarts] == ["mock-large"]
    assert stream.response.content == "Hello."


@pytest.mark.usefixtures("restarting")
async def test_async_text_raises_and_the_rest_can_be_awaited(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")
    with pytest.raises(StreamInterruptedError, match="begins again"):
        _ = [text async for text in stream.text]
    with pytest.raises(RuntimeError, match="complete"):
        _ = stream.response

    response = await stream.complete()

    assert response.content == "Hello."
    assert stream.response == response == await stream.complete()


@pytest.mark.usefixtures("restarting")
async def test_an_async_stream_is_read_on_after_a_restart(async_ai: AsyncAIManager) -> None:
    stream = async_ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        _ = [piece async for piece in stream]

    assert [text async for text in stream.text] == ["Hel", "lo."]


async def test_an_async_answer_that_fails_after_a_restart_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("StreamGenerate", numbered(cut("W"), [GAVE_UP]))
    stream = async_ai.stream("Hi")
    with pytest.raises(StreamInterruptedError, match="begins again"):
        _ = [text async for text in stream.text]

    with pytest.raises(StreamInterruptedError, match="Nobody is left"):
        await stream.complete()


async def test_leaving_an_async_block_after_a_restart_cancels(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("StreamGenerate", numbered(cut("W"), [Silence()]))

    async with async_ai.stream("Hi") as stream:
        with pytest.raises(StreamInterruptedError):
            _ = [text async for text in stream.text]
        assert not fake.ended.is_set()

    assert await asyncio.to_thread(fake.ended.wait, 10)
    with pytest.raises(StreamInterruptedError, match="begins again"):
        await stream.complete()


async def test_an_async_stream_dropped_after_a_restart_ends_its_call(
    fake: FakeGateway, async_ai: AsyncAIManager
) -> None:
    fake.will("StreamGenerate", numbered(cut("W"), [Silence()]))

    async def read_and_drop() -> None:
        with suppress(StreamInterruptedError):
            _ = [text async for text in async_ai.stream("Hi").text]

    await read_and_drop()

    assert await asyncio.to_thread(fake.ended.wait, 10)


async def test_async_streams_may_refuse_restarts(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    await async_ai.stream("Hi", on_interruption="fail").complete()
    await async_ai.stream("Hi").complete()

    policies = [call.request.on_interruption for call in fake.received]
    assert policies == [generation_pb2.INTERRUPTION_POLICY_FAIL, generation_pb2.INTERRUPTION_POLICY_RESTART]
