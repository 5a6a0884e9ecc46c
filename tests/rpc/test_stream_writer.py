"""StreamWriter: messages and heartbeats never interleave or cancel each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimanager.v1.generation_pb2 import PartDelta, StreamGenerateResponse
from aimanager_server.rpc.stream_writer import StreamWriter

INTERVAL = 0.001


class BlockedTransport:
    """Accepts a message only once `unblock` is set, and fails on concurrent writes."""

    def __init__(self) -> None:
        self.written: list[StreamGenerateResponse] = []
        self.write_started = asyncio.Event()
        self.unblock = asyncio.Event()
        self._writing = False

    async def write(self, message: StreamGenerateResponse) -> None:
        assert not self._writing
        self._writing = True
        self.write_started.set()
        try:
            await self.unblock.wait()
        finally:
            self._writing = False
        self.written.append(message)


class DisconnectedTransport:
    """Fails every write."""

    def __init__(self) -> None:
        self.write_started = asyncio.Event()

    async def write(self, message: StreamGenerateResponse) -> None:
        self.write_started.set()
        raise ConnectionError("disconnected")


def message() -> StreamGenerateResponse:
    return StreamGenerateResponse(delta=PartDelta(text="x"))


async def several_intervals() -> None:
    """Let the heartbeat timer fire several times."""
    elapsed = asyncio.Event()
    asyncio.get_running_loop().call_later(10 * INTERVAL, elapsed.set)
    await elapsed.wait()


def stream_writer(transport: Any) -> StreamWriter:
    return StreamWriter(transport, INTERVAL)


async def test_a_message_waits_for_the_heartbeat_in_flight() -> None:
    transport = BlockedTransport()
    async with stream_writer(transport) as writer:
        await transport.write_started.wait()
        sending = asyncio.ensure_future(writer.send(message()))
        await several_intervals()
        transport.unblock.set()
        await sending

    written = [(one.sequence, one.WhichOneof("event")) for one in transport.written[:2]]
    assert written == [(0, "heartbeat"), (1, "delta")]


async def test_no_heartbeat_is_sent_while_a_message_is_in_flight() -> None:
    transport = BlockedTransport()
    async with stream_writer(transport) as writer:
        sending = asyncio.ensure_future(writer.send(message()))
        await several_intervals()
        transport.unblock.set()
        await sending

    assert transport.written[0].WhichOneof("event") == "delta"
    assert [one.sequence for one in transport.written] == list(range(len(transport.written)))


async def test_a_heartbeat_in_flight_completes_when_the_stream_ends() -> None:
    transport = BlockedTransport()
    async with stream_writer(transport):
        await transport.write_started.wait()
        asyncio.get_running_loop().call_soon(transport.unblock.set)

    assert len(transport.written) == 1


async def test_a_failed_heartbeat_is_raised_by_the_next_message_and_not_repeated() -> None:
    transport = DisconnectedTransport()
    async with stream_writer(transport) as writer:
        await transport.write_started.wait()
        transport.write_started.clear()
        await several_intervals()
        repeated = transport.write_started.is_set()
        with pytest.raises(ConnectionError):
            await writer.send(message())

    assert not repeated


async def test_a_failed_heartbeat_is_ignored_at_the_end_of_the_stream() -> None:
    transport = DisconnectedTransport()
    async with stream_writer(transport):
        await transport.write_started.wait()
        await several_intervals()
