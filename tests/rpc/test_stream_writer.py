"""A stream's messages and heartbeats never overtake or interrupt each other, whatever the transport does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimanager.v1.generation_pb2 import PartDelta, StreamGenerateResponse
from aimanager_server.rpc.stream_writer import Outlet

QUICK = 0.001


class Slow:
    """A transport that takes a message only when told to, and notices if a second one comes meanwhile."""

    def __init__(self) -> None:
        self.taken: list[StreamGenerateResponse] = []
        self.offered = asyncio.Event()
        self.take = asyncio.Event()
        self.busy = False

    async def write(self, message: StreamGenerateResponse) -> None:
        """Take a message."""
        assert not self.busy
        self.busy = True
        self.offered.set()
        try:
            await self.take.wait()
        finally:
            self.busy = False
        self.taken.append(message)


class Gone:
    """A transport whose other end has gone."""

    def __init__(self) -> None:
        self.offered = asyncio.Event()

    async def write(self, message: StreamGenerateResponse) -> None:
        """Fail."""
        self.offered.set()
        raise ConnectionError("gone")


def event() -> StreamGenerateResponse:
    return StreamGenerateResponse(delta=PartDelta(text="x"))


async def rounds(seconds: float = 10 * QUICK) -> None:
    """Let the timer go off several times."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()


def outlet(transport: Any) -> Outlet:
    return Outlet(transport, QUICK)


async def test_a_message_waits_for_the_heartbeat_before_it() -> None:
    slow = Slow()
    async with outlet(slow) as out:
        await slow.offered.wait()
        sending = asyncio.ensure_future(out.send(event()))
        await rounds()
        slow.take.set()
        await sending

    told = [(one.sequence, one.WhichOneof("event")) for one in slow.taken[:2]]
    assert told == [(0, "heartbeat"), (1, "delta")]


async def test_there_is_no_heartbeat_while_a_message_is_on_its_way() -> None:
    slow = Slow()
    async with outlet(slow) as out:
        sending = asyncio.ensure_future(out.send(event()))
        await rounds()
        slow.take.set()
        await sending

    assert slow.taken[0].WhichOneof("event") == "delta"
    assert [one.sequence for one in slow.taken] == list(range(len(slow.taken)))


async def test_a_heartbeat_on_its_way_is_let_through_when_the_stream_ends() -> None:
    slow = Slow()
    async with outlet(slow):
        await slow.offered.wait()
        asyncio.get_running_loop().call_soon(slow.take.set)

    assert len(slow.taken) == 1


async def test_a_heartbeat_that_failed_is_told_to_the_next_message_and_not_repeated() -> None:
    gone = Gone()
    async with outlet(gone) as out:
        await gone.offered.wait()
        gone.offered.clear()
        await rounds()
        again = gone.offered.is_set()
        with pytest.raises(ConnectionError):
            await out.send(event())

    assert not again


async def test_a_heartbeat_that_failed_is_forgotten_with_its_stream() -> None:
    gone = Gone()
    async with outlet(gone):
        await gone.offered.wait()
        await rounds()
