"""One AsyncAIManager in several event loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aimanager import AsyncAIManager, ConfigurationError
from tests.support.fake_gateway.server import FakeGateway


def test_client_works_in_one_loop_after_the_other(fake: FakeGateway) -> None:
    ai = AsyncAIManager("", "mock", target=fake.target)

    async def ask() -> str:
        return (await ai.request("Hi")).content

    contents = [asyncio.run(ask()) for _ in range(3)]
    asyncio.run(ai.close())

    assert contents == ["Hello."] * 3


def test_client_works_in_two_loops_at_once(fake: FakeGateway) -> None:
    ai = AsyncAIManager("", "mock", target=fake.target)
    both_started = threading.Barrier(2)
    contents: list[str] = []

    async def ask() -> None:
        both_started.wait(10)
        contents.append((await ai.request("Hi")).content)
        contents.append((await ai.stream("Hi").complete()).content)
        both_started.wait(10)
        await ai.close()

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert contents == ["Hello."] * 4


def test_stubs_without_a_loop_say_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="needs a running event loop"):
        _ = AsyncAIManager("", "mock").stubs
