"""Calls that end before their response: closed, cancelled, or past their deadline."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from aimanager import AIError, AIManager, AsyncAIManager, ConnectionFailedError, DeadlineExceededError
from tests.support.fake_gateway.messages import make_response
from tests.support.fake_gateway.server import FakeGateway, Hang


def request(ai: AIManager) -> object:
    return ai.request("Hi")


def stream(ai: AIManager) -> object:
    return list(ai.stream("Hi").text)


def embed(ai: AIManager) -> object:
    return ai.embed("Hi")


def test_exceeded_deadline_raises(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", [Hang()])

    with pytest.raises(AIError) as raised:
        ai.request("Hi", timeout=0.05)

    assert raised.value.reason == "DEADLINE_EXCEEDED"
    assert "timeout=" in raised.value.solution


@pytest.fixture
def unresponsive() -> Iterator[str]:
    """An address that accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("call", [request, stream, embed])
@pytest.mark.parametrize("target", ["127.0.0.1:1", "unresponsive"])
def test_unreachable_gateway_is_unavailable_not_deadline_exceeded(
    unresponsive: str, target: str, call: Callable[[AIManager], object]
) -> None:
    target = unresponsive if target == "unresponsive" else target

    with AIManager("", "mock", target=target, timeout=0.1) as ai, pytest.raises(AIError) as raised:
        call(ai)

    assert raised.value.reason == "UNAVAILABLE"
    assert re.match("No response from|Cannot connect to", str(raised.value))
    assert f"Is the server running at {target}?" in raised.value.solution
    assert isinstance(raised.value, ConnectionFailedError)


async def test_unreachable_gateway_is_unavailable_in_asyncio(unresponsive: str) -> None:
    async with AsyncAIManager("", "mock", target=unresponsive, timeout=0.1) as ai:
        with pytest.raises(AIError, match="No response from") as raised:
            await ai.request("Hi")
        with pytest.raises(AIError, match="No response from"):
            await ai.stream("Hi").complete()

    assert raised.value.reason == "UNAVAILABLE"


async def test_exceeded_deadline_raises_in_asyncio(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("Generate", make_response(), [Hang()])
    await async_ai.request("Hi")  # connects

    with pytest.raises(DeadlineExceededError) as raised:
        await async_ai.request("Hi", timeout=0.05)

    assert raised.value.reason == "DEADLINE_EXCEEDED"


def test_close_cancels_calls_in_flight(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", [Hang()])

    def close() -> None:
        fake.hanging.wait(10)
        ai.close()

    closing = threading.Thread(target=close)
    closing.start()

    with pytest.raises(AIError) as raised:
        ai.request("Hi")
    closing.join()

    assert raised.value.reason == "CANCELLED"


async def test_close_cancels_calls_in_flight_in_asyncio(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("Generate", [Hang()])
    task = asyncio.create_task(async_ai.request("Hi"))
    await asyncio.to_thread(fake.hanging.wait, 10)

    await async_ai.close()

    with pytest.raises(AIError) as raised:
        await task
    assert raised.value.reason == "CANCELLED"


async def test_cancelled_task_raises_cancelled_error(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("Generate", [Hang()])
    task = asyncio.create_task(async_ai.request("Hi"))
    await asyncio.to_thread(fake.hanging.wait, 10)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(fake.call_ended.wait, 10)
