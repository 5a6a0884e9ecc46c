"""Lookups of the hosts that callers name: bounded in time, and fair by caller."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aimanager_server.providers.attachments.host_lookup import (
    LOOKUP_TIMEOUT_SECONDS,
    MAX_LOOKUPS_PER_CALLER,
    HostLookup,
)

ADDRESSES = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]


class NameServer:
    """Answers `known.test`, and no other name before `answer` is set."""

    def __init__(self) -> None:
        self.answer = threading.Event()

    def __call__(self, host: str, port: int, **options: Any) -> list[Any]:
        if host != "known.test":
            self.answer.wait()
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return ADDRESSES


@contextmanager
def host_lookup(timeout: float = LOOKUP_TIMEOUT_SECONDS) -> Iterator[tuple[HostLookup, NameServer]]:
    name_server = NameServer()
    lookup = HostLookup(name_server, timeout)
    try:
        yield lookup, name_server
    finally:
        name_server.answer.set()
        lookup.close()


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "attachment-dns"}  # idents are used again


async def test_every_address_is_returned_once() -> None:
    with host_lookup() as (lookup, _):
        assert await lookup("known.test", 443, "ann") == ("192.0.2.1", "192.0.2.2")


async def test_a_lookup_without_an_answer_ends_after_the_timeout() -> None:
    with host_lookup(timeout=0.01) as (lookup, _), pytest.raises(TimeoutError):
        await lookup("hanging.test", 443, "ann")


async def test_hanging_lookups_of_one_caller_do_not_delay_another() -> None:
    before = threads()
    with host_lookup() as (lookup, name_server):
        hanging = [asyncio.create_task(lookup(f"{number}.test", 443, "eve")) for number in range(100)]

        found = await lookup("known.test", 443, "ann")
        started = threads() - before
        is_waiting = [not task.done() for task in hanging]
        name_server.answer.set()
        await asyncio.gather(*hanging, return_exceptions=True)

    assert found
    assert all(is_waiting)
    assert len(started) == MAX_LOOKUPS_PER_CALLER + 1


async def test_an_unknown_name_raises_oserror() -> None:
    with host_lookup() as (lookup, name_server):
        name_server.answer.set()
        with pytest.raises(OSError, match="unknown"):
            await lookup("unknown.test", 443, "ann")
