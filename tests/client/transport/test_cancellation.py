"""Calls that end before their answer: closed, cancelled, late."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from aimanager import (
    AIError,
    AIManager,
    AsyncAIManager,
)
from aimanager_server.errors import Internal  # noqa: F401  # loads the table
from tests.support.fake_gateway.server import FakeGateway, Silence

Code = grpc.StatusCode


def request(ai: AIManager) -> object:
    return ai.request("Hi")


def streamed(ai: AIManager) -> object:
    return list(ai.stream("Hi").text)


def embedded(ai: AIManager) -> object:
    return ai.embed("Hi")


def test_a_deadline_says_so(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", [Silence()])

    with pytest.raises(AIError) as raised:
        ai.request("Hi", timeout=0.05)

    assert raised.value.reason == "DEADLINE_EXCEEDED"
    assert "timeout=" in raised.value.solution


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        yield f"127.0.0.1:{deaf.getsockname()[1]}"


@pytest.mark.parametrize("read", [request, streamed, embedded])
@pytest.mark.parametrize("target", ["127.0.0.1:1", "deaf"])
def test_a_deadline_is_not_blamed_where_nobody_answers(
    nobody: str, target: str, read: Callable[[AIManager], object]
) -> None:
    target = nobody if target == "deaf" else target

    with AIManager("", "mock", target=target, timeout=0.2) as ai, pytest.raises(AIError) as raised:
        read(ai)

    assert raised.value.reason == "UNAVAILABLE"
    assert "nobody answered" in str(raised.value) or "Connection refused" in str(raised.value)
    assert f"Is the server running at {target}?" in raised.value.solution


async def test_an_async_deadline_is_not_blamed_where_nobody_answers(nobody: str) -> None:
    async with AsyncAIManager("", "mock", target=nobody, timeout=0.2) as ai:
        with pytest.raises(AIError, match="nobody answered") as raised:
            await ai.request("Hi")
        with pytest.raises(AIError, match="nobody answered"):
            await ai.stream("Hi").complete()

    assert raised.value.reason == "UNAVAILABLE"


async def test_an_async_deadline_says_so(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("Generate", [Silence()])

    with pytest.raises(AIError) as raised:
        await async_ai.request("Hi", timeout=0.05)

    assert raised.value.reason == "DEADLINE_EXCEEDED"


def test_closing_ends_the_calls_under_way(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", [Silence()])

    def close() -> None:
        fake.silenced.wait(10)
        ai.close()

    closing = threading.Thread(target=close)
    closing.start()

    with pytest.raises(AIError) as raised:
        ai.request("Hi")
    closing.join()

    assert raised.value.reason == "CANCELLED"


async def test_async_closing_ends_the_calls_under_way(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("Generate", [Silence()])
    task = asyncio.create_task(async_ai.request("Hi"))
    await asyncio.to_thread(fake.silenced.wait, 10)

    await async_ai.close()

    with pytest.raises(AIError) as raised:
        await task
    assert raised.value.reason == "CANCELLED"


async def test_cancelling_a_task_is_not_translated(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("Generate", [Silence()])
    task = asyncio.create_task(async_ai.request("Hi"))
    await asyncio.to_thread(fake.silenced.wait, 10)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(fake.ended.wait, 10)
