"""A cancelled call lets go of its connection at once, wherever it waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from aimanager_server.core.errors import ProviderUnreachable
from aimanager_server.core.handler import Provider
from aimanager_server.core.request import Call
from tests.support.chat_completions import connected
from tests.support.http_servers.blackhole import CAN_LOOK, black_hole, connecting, silent_server
from tests.support.http_servers.raw import Act, raw_server
from tests.support.pool_requests import SAID, TEXT, said_by, streamed, whole

AT_ONCE = 1.0
"""Above the 0.1 s that it may take, for the sake of busy machines."""

ONE_PLACE = {"max_connections": 1, "connect_timeout": 30.0}


async def begun(provider: Provider, call: Call) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(provider(call))
    await asyncio.sleep(0.05)
    assert not task.done()
    return task


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    async with asyncio.timeout(AT_ONCE):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_waiting_for_a_connection() -> None:
    async with raw_server((Act.SILENCE,), (TEXT,)) as server, connected(server.url, pool=ONE_PLACE) as provider:
        first = await begun(provider, whole())
        second = await begun(provider, whole())
        third = await begun(provider, whole())

        await cancelled(second)
        await cancelled(first)
        said = await said_by(await asyncio.wait_for(third, AT_ONCE))

    assert (said, len(server.requests)) == (SAID, 2)


@pytest.mark.skipif(not CAN_LOOK, reason="only Linux shows the sockets of a process")
async def test_connecting() -> None:
    with black_hole() as port:
        async with connected(f"http://127.0.0.1:{port}", pool=ONE_PLACE) as provider:
            task = await begun(provider, whole())
            before = connecting(port)
            await cancelled(task)

            assert (before, connecting(port)) == (1, 0)
            await cancelled(await begun(provider, whole()))


async def test_shaking_hands() -> None:
    async with silent_server() as server, connected(f"https://127.0.0.1:{server.port}", pool=ONE_PLACE) as provider:
        task = await begun(provider, whole())
        await server.came.wait()
        await cancelled(task)

        await asyncio.wait_for(server.gone.wait(), AT_ONCE)
        await cancelled(await begun(provider, whole()))


@pytest.mark.parametrize("call", [whole, streamed])
async def test_waiting_for_an_answer(call: Any) -> None:
    async with raw_server((Act.SILENCE,), (TEXT,)) as server, connected(server.url, pool=ONE_PLACE) as provider:
        task = await begun(provider, call())
        await server.asked.wait()
        await cancelled(task)

        await asyncio.wait_for(server.gone.wait(), AT_ONCE)
        assert await said_by(await provider(whole())) == SAID


async def test_looking_up_a_name() -> None:
    speaking = threading.Event()

    def look_up(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        speaking.wait()
        return ()

    pool = {"look_up": look_up, "max_connections": 1, "connect_timeout": 0.3}
    async with connected("https://provider.test", pool=pool) as provider:
        await cancelled(await begun(provider, whole()))

        with pytest.raises(ProviderUnreachable):
            await provider(whole())
    speaking.set()
