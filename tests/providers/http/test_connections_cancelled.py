"""Cancelling a call releases its connection immediately, whatever it is waiting for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from aimanager_server.core.errors import ProviderUnreachable
from aimanager_server.core.handler import Provider
from aimanager_server.core.request import Attempt
from tests.support.chat_completions import connected_provider
from tests.support.http_servers.blackhole import HAS_PROC_NET, black_hole, pending_connections, silent_server
from tests.support.http_servers.raw import SocketFault, raw_server
from tests.support.pool_requests import EXPECTED_PARTS, TEXT_RESPONSE, parts_from, streaming_attempt, unary_attempt

RELEASE_TIMEOUT = 1.0
"""More than the 0.1 s that it may take, for busy machines."""

ONE_CONNECTION = {"max_connections": 1, "connect_timeout": 30.0}


async def started(provider: Provider, attempt: Attempt[Any]) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(provider(attempt))
    await asyncio.sleep(0.01)
    assert not task.done()
    return task


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    async with asyncio.timeout(RELEASE_TIMEOUT):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelled_while_waiting_for_a_connection() -> None:
    async with (
        raw_server((SocketFault.STALL,), (TEXT_RESPONSE,)) as server,
        connected_provider(server.url, pool=ONE_CONNECTION) as provider,
    ):
        first = await started(provider, unary_attempt())
        second = await started(provider, unary_attempt())
        third = await started(provider, unary_attempt())

        await cancel(second)
        await cancel(first)
        parts = await parts_from(await asyncio.wait_for(third, RELEASE_TIMEOUT))

    assert (parts, len(server.requests)) == (EXPECTED_PARTS, 2)


@pytest.mark.skipif(not HAS_PROC_NET, reason="only Linux shows the sockets of a process")
async def test_cancelled_while_connecting() -> None:
    with black_hole() as port:
        async with connected_provider(f"http://127.0.0.1:{port}", pool=ONE_CONNECTION) as provider:
            task = await started(provider, unary_attempt())
            before = pending_connections(port)
            await cancel(task)

            assert (before, pending_connections(port)) == (1, 0)
            await cancel(await started(provider, unary_attempt()))


async def test_cancelled_during_the_tls_handshake() -> None:
    async with (
        silent_server() as server,
        connected_provider(f"https://127.0.0.1:{server.port}", pool=ONE_CONNECTION) as provider,
    ):
        task = await started(provider, unary_attempt())
        await server.connected.wait()
        await cancel(task)

        await asyncio.wait_for(server.disconnected.wait(), RELEASE_TIMEOUT)
        await cancel(await started(provider, unary_attempt()))


@pytest.mark.parametrize("call", [unary_attempt, streaming_attempt])
async def test_cancelled_while_waiting_for_a_response(call: Any) -> None:
    async with (
        raw_server((SocketFault.STALL,), (TEXT_RESPONSE,)) as server,
        connected_provider(server.url, pool=ONE_CONNECTION) as provider,
    ):
        task = await started(provider, call())
        await server.request_received.wait()
        await cancel(task)

        await asyncio.wait_for(server.disconnected.wait(), RELEASE_TIMEOUT)
        assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS


async def test_cancelled_during_a_dns_lookup() -> None:
    name_server_responds = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        name_server_responds.wait()
        return ()

    pool = {"getaddrinfo": getaddrinfo, "max_connections": 1, "connect_timeout": 0.05}
    async with connected_provider("https://provider.test", pool=pool) as provider:
        await cancel(await started(provider, unary_attempt()))

        with pytest.raises(ProviderUnreachable):
            await provider(unary_attempt())
    name_server_responds.set()
