"""Calls that end before their answer: closed, cancelled, late."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest

from aimanager import (
    AIError,
    AIManager,
    AsyncAIManager,
)
from aimanager_server.errors import Internal  # noqa: F401  # loads the table
from fake_gateway import FakeGateway, Silence

Code = grpc.StatusCode


def test_a_deadline_says_so(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", [Silence()])

    with pytest.raises(AIError) as raised:
        ai.request("Hi", timeout=0.05)

    assert raised.value.reason == "DEADLINE_EXCEEDED"
    assert "timeout=" in raised.value.solution


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
