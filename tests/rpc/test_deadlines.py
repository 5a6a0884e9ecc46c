"""Deadlines of the caller and time limits of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, PartCompleted
from aimanager_server.core.stream import ResponseStream
from aimanager_server.rpc.context import Rpc
from aimanager_server.rpc.deadlines import CallDeadline
from tests.support.rpc import (
    HELLO_EVENTS,
    REQUEST,
    STREAM_REQUEST,
    answering,
    build_server,
    events_of,
    raising,
    running,
    server_settings,
    stream_of,
)
from tests.support.rpc_errors import failure_of


class FakeContext:
    """A gRPC context whose caller has so many seconds left."""

    def __init__(self, remaining: float | None) -> None:
        self._remaining = remaining

    def invocation_metadata(self) -> tuple[Any, ...]:
        return ()

    def time_remaining(self) -> float | None:
        return self._remaining


def rpc(remaining: float | None) -> Rpc:
    return Rpc("a/B", FakeContext(remaining))


@pytest.mark.parametrize(
    ("remaining", "max_seconds", "deadline"), [(None, 100.0, 1099.5), (10.0, 100.0, 1009.5), (200.0, 2.0, 1001.8)]
)
async def test_the_earlier_deadline_applies_less_a_margin_for_the_response(
    remaining: float | None, max_seconds: float, deadline: float
) -> None:
    async with CallDeadline(rpc(remaining), max_seconds, lambda: 1000.0) as actual:
        assert actual == pytest.approx(deadline)


async def test_a_block_that_exceeds_the_deadline_is_cancelled() -> None:
    with pytest.raises(DeadlineExceeded, match=r"did not finish within 0.01 s"):
        async with CallDeadline(rpc(None), 0.01, lambda: 0.0):
            await asyncio.Event().wait()


async def test_a_timeout_from_inside_the_block_passes_unchanged() -> None:
    with pytest.raises(TimeoutError):
        async with CallDeadline(rpc(None), 5.0, lambda: 0.0):
            raise TimeoutError


async def seconds_given_to_handler(seconds: float | None, *, streaming: bool = False) -> float:
    """The time a handler has left under limits of 60 s (unary) and 120 s (streaming)."""
    given: list[float] = []

    async def handle(call: Call) -> ResponseStream:
        given.append(call.deadline - asyncio.get_running_loop().time())
        return await answering(*HELLO_EVENTS)(call)

    settings = server_settings({"unary_timeout_seconds": 60.0, "stream_timeout_seconds": 120.0})
    async with running(build_server(handle, settings)) as gateway:
        if streaming:
            await events_of(gateway.generation.StreamGenerate(STREAM_REQUEST, timeout=seconds))
        else:
            await gateway.generation.Generate(REQUEST, timeout=seconds)
    return given[0]


async def test_without_a_caller_deadline_the_servers_limit_applies() -> None:
    assert 50 < await seconds_given_to_handler(None) <= 59.5
    assert 110 < await seconds_given_to_handler(None, streaming=True) <= 119.5


async def test_a_shorter_caller_deadline_applies_less_the_response_margin() -> None:
    assert 10 < await seconds_given_to_handler(20.0) <= 19.8  # gRPC rounds a timeout up on its way


async def test_a_longer_caller_deadline_is_limited_by_the_server() -> None:
    assert 50 < await seconds_given_to_handler(1000.0) <= 59.5


async def test_the_response_margin_of_a_very_short_deadline_is_small() -> None:
    assert 2.0 < await seconds_given_to_handler(4.0) <= 3.7


async def test_the_servers_limit_ends_calls_without_a_caller_deadline() -> None:
    async def handle(call: Call) -> ResponseStream:
        await asyncio.Event().wait()
        raise AssertionError

    settings = server_settings({"unary_timeout_seconds": 0.02, "stream_timeout_seconds": 0.02})
    async with running(build_server(handle, settings)) as gateway:
        unary = await failure_of(gateway.generation.Generate(REQUEST))
        stream = await failure_of(gateway.generation.StreamGenerate(STREAM_REQUEST))

    assert [unary.code, stream.code] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2
    assert [unary.reason, stream.reason] == ["DEADLINE_EXCEEDED"] * 2


async def test_the_servers_limit_ends_a_stream_whose_client_does_not_read() -> None:
    closed = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            while True:
                yield PartCompleted(0, Text("x" * 500_000))

        return stream_of(call, events(), closed)

    async with running(build_server(handle, server_settings({"stream_timeout_seconds": 0.2}))) as gateway:
        call = aiter(gateway.generation.StreamGenerate(STREAM_REQUEST))
        await anext(call)
        await asyncio.wait_for(closed.wait(), 10)
        failure = await failure_of(call)

    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_timeout_from_a_library_is_an_internal_error() -> None:
    async with running(build_server(raising(TimeoutError("from a library")))) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST))

    assert failure.code is grpc.StatusCode.INTERNAL
