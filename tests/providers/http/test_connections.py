"""How a connection to a provider comes about: names, addresses, time limits and idle ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from aimanager_server.core.errors import ProviderUnreachable
from tests.support.chat_completions import connected
from tests.support.http_servers.blackhole import CAN_LOOK, black_hole, has_ipv6, infos, sends_at_once_to
from tests.support.http_servers.raw import Act, raw_server
from tests.support.pool_requests import SAID, TEXT, said_by, whole


def behind_a_name(*addresses: str, port: int) -> dict[str, Any]:
    """A pool for which every name has these addresses."""
    return {"look_up": lambda *_, **__: infos(*addresses, port=port), "connect_timeout": 3.0}


def named(port: int) -> str:
    return f"http://localhost:{port}"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_black_hole_does_not_keep_ipv4_from_answering() -> None:
    async with raw_server((TEXT,)) as server:
        pool = behind_a_name("::1", "127.0.0.1", port=server.port)
        with black_hole("::1", server.port):
            async with connected(named(server.port), pool=pool) as provider:
                assert await said_by(await provider(whole())) == SAID


async def test_where_one_address_refuses_the_next_is_tried() -> None:
    async with raw_server((TEXT,)) as server:
        pool = behind_a_name("127.0.0.2", "::1", "127.0.0.1", port=server.port)
        async with connected(named(server.port), pool=pool) as provider:
            assert await said_by(await provider(whole())) == SAID


async def test_addresses_that_change_are_followed_at_once() -> None:
    answers = iter(["127.0.0.2", "127.0.0.1"])
    async with raw_server((TEXT,)) as server:

        def look_up(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
            return infos(next(answers), port=server.port)

        async with connected(named(server.port), pool={"look_up": look_up}) as provider:
            with pytest.raises(ProviderUnreachable):
                await provider(whole())
            assert await said_by(await provider(whole())) == SAID


async def test_a_name_that_does_not_exist_is_told() -> None:
    def look_up(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with connected("https://provider.test", pool={"look_up": look_up}) as provider:
        with pytest.raises(ProviderUnreachable, match="could not be resolved"):
            await provider(whole())


async def test_a_silent_name_server_takes_no_longer_than_a_connection_may_and_stops_nobody_else() -> None:
    speaking = threading.Event()

    def look_up(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        speaking.wait()
        return ()

    async def ask() -> None:
        async with connected("https://provider.test", pool={"look_up": look_up, "connect_timeout": 0.3}) as provider:
            await provider(whole())

    async with raw_server((TEXT,)) as server, connected(named(server.port)) as other:
        hanging = asyncio.gather(*(ask() for _ in range(12)), return_exceptions=True)
        await asyncio.sleep(0.05)
        said = await said_by(await other(whole()))
        still_hanging = not hanging.done()
        outcomes = await asyncio.wait_for(hanging, 5.0)
        speaking.set()

    assert (said, still_hanging) == (SAID, True)
    assert {type(outcome) for outcome in outcomes} == {ProviderUnreachable}


async def test_a_black_hole_takes_no_longer_than_a_connection_may() -> None:
    with black_hole() as port:
        async with connected(f"http://127.0.0.1:{port}", pool={"connect_timeout": 0.3}) as provider:
            with pytest.raises(ProviderUnreachable, match="too long"):
                await asyncio.wait_for(provider(whole()), 5.0)


async def test_a_connection_that_the_server_closed_while_idle_is_replaced_unseen() -> None:
    async with raw_server((TEXT, Act.CLOSE)) as server, connected(server.url) as provider:
        for _ in range(3):
            assert await said_by(await provider(whole())) == SAID
            await asyncio.sleep(0.02)

    assert (len(server.requests), server.connections) == (3, 3)


@pytest.mark.skipif(not CAN_LOOK, reason="only Linux shows the sockets of a process")
async def test_small_pieces_are_sent_to_providers_without_delay() -> None:
    async with raw_server((TEXT,)) as server, connected(server.url) as provider:
        await said_by(await provider(whole()))

        assert sends_at_once_to(server.port) == [True]
