"""The addresses behind names: asked for seldom, and never waited for by others."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from aimanager_server.providers.http.dns_cache import FRESH_SECONDS, MOST_AT_ONCE, STALE_SECONDS, Addresses
from tests.support.calls import FakeClock
from tests.support.http_servers.blackhole import infos

AGAIN, GONE = socket.gaierror(socket.EAI_AGAIN, "later"), socket.gaierror(socket.EAI_NONAME, "unknown")


class NameServer:
    """Gives scripted answers in turn, the last one for ever; silent while it is told to be."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.speaking = threading.Event()
        self.speaking.set()

    def __call__(self, host: str, port: int, **_: Any) -> Sequence[tuple[Any, ...]]:
        self.asked.append(host)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        self.speaking.wait()
        if isinstance(answer, OSError):
            raise answer
        return infos(*answer, port=port)

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.speaking.clear()
        yield
        self.speaking.set()


async def hosts(addresses: Addresses, name: str = "provider.test") -> list[str]:
    return [found["host"] for found in await addresses.resolve(name, 443)]


async def test_addresses_are_kept_and_each_has_its_turn_to_be_first() -> None:
    server, clock = NameServer(("10.0.0.1", "10.0.0.2")), FakeClock()
    addresses = Addresses(2.0, server, clock)

    seen = [await hosts(addresses) for _ in range(3)]
    clock.advance(FRESH_SECONDS)
    await hosts(addresses)

    assert seen == [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"], ["10.0.0.1", "10.0.0.2"]]
    assert len(server.asked) == 2


async def test_addresses_that_led_nowhere_are_asked_for_again() -> None:
    server = NameServer(("10.0.0.1",), ("10.0.0.2",))
    addresses = Addresses(2.0, server, FakeClock())

    before = await hosts(addresses)
    addresses.doubt()

    assert (before, await hosts(addresses)) == (["10.0.0.1"], ["10.0.0.2"])


async def test_a_name_that_does_not_exist_is_told_and_asked_for_again() -> None:
    server = NameServer(GONE, ("10.0.0.1",), GONE)
    addresses = Addresses(2.0, server, FakeClock())

    with pytest.raises(socket.gaierror):
        await hosts(addresses)
    found = await hosts(addresses)
    addresses.doubt()
    with pytest.raises(socket.gaierror):
        await hosts(addresses)

    assert found == ["10.0.0.1"]


async def test_what_is_no_name_is_told() -> None:
    def refuse(*_: Any, **__: Any) -> Sequence[tuple[Any, ...]]:
        raise UnicodeError("label too long")

    with pytest.raises(socket.gaierror):
        await hosts(Addresses(2.0, refuse))


async def test_known_addresses_serve_where_the_name_server_fails() -> None:
    server, clock = NameServer(("10.0.0.1",), AGAIN, ("10.0.0.2",)), FakeClock()
    addresses = Addresses(2.0, server, clock)
    await hosts(addresses)
    clock.advance(FRESH_SECONDS)

    stale = [await hosts(addresses), await hosts(addresses)]
    clock.advance(STALE_SECONDS)

    assert (stale, await hosts(addresses)) == ([["10.0.0.1"], ["10.0.0.1"]], ["10.0.0.2"])
    assert len(server.asked) == 3


async def test_known_addresses_serve_where_the_name_server_is_silent() -> None:
    server, clock = NameServer(("10.0.0.1",)), FakeClock()
    addresses = Addresses(0.02, server, clock)
    await hosts(addresses)
    clock.advance(FRESH_SECONDS)

    with server.silent():
        assert await hosts(addresses) == ["10.0.0.1"]


async def test_those_who_ask_at_once_share_one_answer_and_may_leave() -> None:
    server = NameServer(("10.0.0.1",))
    addresses = Addresses(2.0, server)

    with server.silent():
        tasks = [asyncio.create_task(hosts(addresses)) for _ in range(3)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
    found = await asyncio.gather(*tasks[1:])

    assert found == [["10.0.0.1"], ["10.0.0.1"]]
    assert (tasks[0].cancelled(), len(server.asked)) == (True, 1)


async def test_a_lookup_that_hangs_is_given_up_and_begun_again() -> None:
    server, clock = NameServer(("10.0.0.1",)), FakeClock()
    addresses = Addresses(2.0, server, clock)

    with server.silent():
        hanging = asyncio.create_task(hosts(addresses))
        await asyncio.sleep(0.01)
        clock.advance(2.1)
        again = asyncio.create_task(hosts(addresses))
        await asyncio.sleep(0.01)
        asked = len(server.asked)

    assert asked == 2
    assert await again == await hanging == ["10.0.0.1"]


async def test_lookups_that_hang_are_bounded_in_number() -> None:
    server = NameServer(("10.0.0.1",))
    addresses = Addresses(2.0, server)

    with server.silent():
        tasks = [asyncio.create_task(hosts(addresses, f"{number}.test")) for number in range(MOST_AT_ONCE)]
        await asyncio.sleep(0.01)
        with pytest.raises(socket.gaierror, match="under way"):
            await hosts(addresses, "another.test")
    await asyncio.gather(*tasks)

    assert await hosts(addresses, "another.test") == ["10.0.0.1"]


async def test_a_silent_name_server_keeps_nobody_else_waiting() -> None:
    server = NameServer(("10.0.0.1",))
    many = [Addresses(2.0, server) for _ in range(40)]

    with server.silent():
        tasks = [asyncio.create_task(hosts(one)) for one in many]
        await asyncio.sleep(0.01)
        found = await hosts(Addresses(2.0, NameServer(("10.0.0.2",))))
        pending = sum(not task.done() for task in tasks)
    await asyncio.gather(*tasks)

    assert (found, pending) == (["10.0.0.2"], 40)


async def test_the_address_of_this_machine_is_found_by_the_system() -> None:
    assert set(await hosts(Addresses(5.0), "localhost")) <= {"127.0.0.1", "::1"}


def test_an_answer_that_comes_after_the_loop_is_closed_is_dropped() -> None:
    server = NameServer(("10.0.0.1",))

    async def give_up() -> None:
        asking = asyncio.create_task(hosts(Addresses(2.0, server)))
        await asyncio.sleep(0.01)
        asking.cancel()

    with server.silent():
        asyncio.run(give_up())
    for thread in threading.enumerate():
        if thread.name == "look-up":
            thread.join(5)
