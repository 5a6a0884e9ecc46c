"""Establishing connections: host names, addresses, timeouts, and idle connections."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from aimanager_server.core.errors import ProviderUnreachable
from tests.support.chat_completions import connected_provider
from tests.support.http_servers.blackhole import HAS_PROC_NET, address_infos, black_hole, has_ipv6, nodelay_to
from tests.support.http_servers.raw import SocketFault, raw_server
from tests.support.pool_requests import EXPECTED_PARTS, TEXT_RESPONSE, parts_from, unary_attempt


def resolving_to(*addresses: str, port: int) -> dict[str, Any]:
    """Return pool options that resolve every host to these addresses."""
    return {"getaddrinfo": lambda *_, **__: address_infos(*addresses, port=port), "connect_timeout": 3.0}


def localhost_url(port: int) -> str:
    return f"http://localhost:{port}"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_black_hole_does_not_block_ipv4() -> None:
    async with raw_server((TEXT_RESPONSE,)) as server:
        pool = resolving_to("::1", "127.0.0.1", port=server.port)
        with black_hole("::1", server.port):
            async with connected_provider(localhost_url(server.port), pool=pool) as provider:
                assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS


async def test_the_next_address_is_tried_after_a_refused_connection() -> None:
    async with raw_server((TEXT_RESPONSE,)) as server:
        pool = resolving_to("127.0.0.2", "::1", "127.0.0.1", port=server.port)
        async with connected_provider(localhost_url(server.port), pool=pool) as provider:
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS


async def test_changed_addresses_are_used_after_a_failure() -> None:
    addresses = iter(["127.0.0.2", "127.0.0.1"])
    async with raw_server((TEXT_RESPONSE,)) as server:

        def getaddrinfo(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
            return address_infos(next(addresses), port=server.port)

        async with connected_provider(localhost_url(server.port), pool={"getaddrinfo": getaddrinfo}) as provider:
            with pytest.raises(ProviderUnreachable):
                await provider(unary_attempt())
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS


async def test_an_unknown_host_name_is_unreachable() -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with connected_provider("https://provider.test", pool={"getaddrinfo": getaddrinfo}) as provider:
        with pytest.raises(ProviderUnreachable, match="DNS lookup"):
            await provider(unary_attempt())


async def test_an_unresponsive_name_server_times_out_without_blocking_other_lookups() -> None:
    name_server_responds = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        name_server_responds.wait()
        return ()

    async def call_provider() -> None:
        async with connected_provider(
            "https://provider.test", pool={"getaddrinfo": getaddrinfo, "connect_timeout": 0.3}
        ) as provider:
            await provider(unary_attempt())

    async with raw_server((TEXT_RESPONSE,)) as server, connected_provider(localhost_url(server.port)) as other:
        hanging = asyncio.gather(*(call_provider() for _ in range(12)), return_exceptions=True)
        await asyncio.sleep(0)
        parts = await parts_from(await other(unary_attempt()))
        is_blocked = not hanging.done()
        outcomes = await asyncio.wait_for(hanging, 5.0)
        name_server_responds.set()

    assert (parts, is_blocked) == (EXPECTED_PARTS, True)
    assert {type(outcome) for outcome in outcomes} == {ProviderUnreachable}


async def test_connecting_to_a_black_hole_times_out() -> None:
    with black_hole() as port:
        async with connected_provider(f"http://127.0.0.1:{port}", pool={"connect_timeout": 0.05}) as provider:
            with pytest.raises(ProviderUnreachable, match="timed out"):
                await asyncio.wait_for(provider(unary_attempt()), 5.0)


async def test_a_connection_closed_while_idle_is_replaced() -> None:
    async with raw_server((TEXT_RESPONSE, SocketFault.CLOSE)) as server, connected_provider(server.url) as provider:
        for _ in range(3):
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS
            await asyncio.sleep(0.02)

    assert (len(server.requests), server.connections) == (3, 3)


@pytest.mark.skipif(not HAS_PROC_NET, reason="only Linux shows the sockets of a process")
async def test_connections_disable_nagles_algorithm() -> None:
    async with raw_server((TEXT_RESPONSE,)) as server, connected_provider(server.url) as provider:
        await parts_from(await provider(unary_attempt()))

        assert nodelay_to(server.port) == [True]
