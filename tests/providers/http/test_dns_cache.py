"""The DNS cache: lookups are rare, shared, bounded, and never block each other."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from aimanager_server.providers.http.dns_cache import (
    MAX_CONCURRENT_LOOKUPS,
    STALE_TTL_SECONDS,
    TTL_SECONDS,
    CachingResolver,
)
from tests.support.clock import FakeClock
from tests.support.eventually import eventually
from tests.support.http_servers.blackhole import address_infos

TEMPORARY_FAILURE, UNKNOWN_NAME = (
    socket.gaierror(socket.EAI_AGAIN, "later"),
    socket.gaierror(socket.EAI_NONAME, "unknown"),
)


class NameServer:
    """A getaddrinfo that gives scripted results in order, repeats the last, and blocks while `unresponsive`."""

    def __init__(self, *results: Sequence[str] | OSError) -> None:
        self.results = list(results)
        self.lookups: list[str] = []
        self.responds = threading.Event()
        self.responds.set()

    def __call__(self, host: str, port: int, **_: Any) -> Sequence[tuple[Any, ...]]:
        self.lookups.append(host)
        result = self.results[min(len(self.lookups), len(self.results)) - 1]
        self.responds.wait()
        if isinstance(result, OSError):
            raise result
        return address_infos(*result, port=port)

    @contextmanager
    def unresponsive(self) -> Iterator[None]:
        self.responds.clear()
        yield
        self.responds.set()


async def resolve(resolver: CachingResolver, name: str = "provider.test") -> list[str]:
    return [address[0] for *_, address in await resolver.resolve(name, 443)]


async def test_addresses_are_cached_and_rotated() -> None:
    server, clock = NameServer(("10.0.0.1", "10.0.0.2")), FakeClock()
    resolver = CachingResolver(2.0, server, clock)

    seen = [await resolve(resolver) for _ in range(3)]
    clock.advance(TTL_SECONDS)
    await resolve(resolver)

    assert seen == [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"], ["10.0.0.1", "10.0.0.2"]]
    assert len(server.lookups) == 2


async def test_invalidated_addresses_are_looked_up_again() -> None:
    server = NameServer(("10.0.0.1",), ("10.0.0.2",))
    resolver = CachingResolver(2.0, server, FakeClock())

    before = await resolve(resolver)
    resolver.invalidate()

    assert (before, await resolve(resolver)) == (["10.0.0.1"], ["10.0.0.2"])


async def test_unknown_names_are_not_cached() -> None:
    server = NameServer(UNKNOWN_NAME, ("10.0.0.1",), UNKNOWN_NAME)
    resolver = CachingResolver(2.0, server, FakeClock())

    with pytest.raises(socket.gaierror):
        await resolve(resolver)
    found = await resolve(resolver)
    resolver.invalidate()
    with pytest.raises(socket.gaierror):
        await resolve(resolver)

    assert found == ["10.0.0.1"]


async def test_an_invalid_name_is_an_error() -> None:
    def refuse(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        raise UnicodeError("label too long")

    with pytest.raises(socket.gaierror):
        await resolve(CachingResolver(2.0, refuse))


async def test_expired_addresses_are_used_while_the_name_server_fails() -> None:
    server, clock = NameServer(("10.0.0.1",), TEMPORARY_FAILURE, ("10.0.0.2",)), FakeClock()
    resolver = CachingResolver(2.0, server, clock)
    await resolve(resolver)
    clock.advance(TTL_SECONDS)

    stale = [await resolve(resolver), await resolve(resolver)]
    clock.advance(STALE_TTL_SECONDS)

    assert (stale, await resolve(resolver)) == ([["10.0.0.1"], ["10.0.0.1"]], ["10.0.0.2"])
    assert len(server.lookups) == 3


async def test_expired_addresses_are_used_while_the_name_server_is_unresponsive() -> None:
    server, clock = NameServer(("10.0.0.1",)), FakeClock()
    resolver = CachingResolver(0.02, server, clock)
    await resolve(resolver)
    clock.advance(TTL_SECONDS)

    with server.unresponsive():
        assert await resolve(resolver) == ["10.0.0.1"]


async def test_concurrent_lookups_share_one_result_and_can_be_cancelled() -> None:
    server = NameServer(("10.0.0.1",))
    resolver = CachingResolver(2.0, server)

    with server.unresponsive():
        tasks = [asyncio.create_task(resolve(resolver)) for _ in range(3)]
        await eventually(lambda: len(server.lookups), 1)
        tasks[0].cancel()
    found = await asyncio.gather(*tasks[1:])

    assert found == [["10.0.0.1"], ["10.0.0.1"]]
    assert (tasks[0].cancelled(), len(server.lookups)) == (True, 1)


async def test_a_hanging_lookup_is_abandoned_and_restarted() -> None:
    server, clock = NameServer(("10.0.0.1",)), FakeClock()
    resolver = CachingResolver(2.0, server, clock)

    with server.unresponsive():
        hanging = asyncio.create_task(resolve(resolver))
        await eventually(lambda: len(server.lookups), 1)
        clock.advance(2.1)
        again = asyncio.create_task(resolve(resolver))
        await eventually(lambda: len(server.lookups), 2)

    assert await again == await hanging == ["10.0.0.1"]


async def test_the_number_of_hanging_lookups_is_limited() -> None:
    server = NameServer(("10.0.0.1",))
    resolver = CachingResolver(2.0, server)

    with server.unresponsive():
        tasks = [asyncio.create_task(resolve(resolver, f"{number}.test")) for number in range(MAX_CONCURRENT_LOOKUPS)]
        await eventually(lambda: len(server.lookups), MAX_CONCURRENT_LOOKUPS)
        with pytest.raises(socket.gaierror, match="too many DNS lookups"):
            await resolve(resolver, "another.test")
    await asyncio.gather(*tasks)

    assert await resolve(resolver, "another.test") == ["10.0.0.1"]


async def test_an_unresponsive_name_server_does_not_block_other_lookups() -> None:
    server = NameServer(("10.0.0.1",))
    resolvers = [CachingResolver(2.0, server) for _ in range(40)]

    with server.unresponsive():
        tasks = [asyncio.create_task(resolve(resolver)) for resolver in resolvers]
        await eventually(lambda: len(server.lookups), 40)
        found = await resolve(CachingResolver(2.0, NameServer(("10.0.0.2",))))
        pending = sum(not task.done() for task in tasks)
    await asyncio.gather(*tasks)

    assert (found, pending) == (["10.0.0.2"], 40)


async def test_localhost_is_resolved_by_the_system() -> None:
    assert set(await resolve(CachingResolver(5.0), "localhost")) <= {"127.0.0.1", "::1"}


def test_a_result_after_the_event_loop_closed_is_discarded() -> None:
    server = NameServer(("10.0.0.1",))

    async def abandon() -> None:
        lookup = asyncio.create_task(resolve(CachingResolver(2.0, server)))
        await eventually(lambda: len(server.lookups), 1)
        lookup.cancel()

    with server.unresponsive():
        asyncio.run(abandon())
    for thread in threading.enumerate():
        if thread.name == "dns-lookup":
            thread.join(5)
