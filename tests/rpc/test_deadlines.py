"""Deadlines of the caller and the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from aimanager.v1 import generation_pb2
from aimanager_server.core.content import Text
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, PartCompleted, ResponseStream
from aimanager_server.rpc.services.generation import Timeouts
from tests.support.rpc import HELLO, QUESTION, STREAMED, build, reply_of_events, saying, serving
from tests.support.rpc_errors import refusal


async def events_of(call: Any) -> list[generation_pb2.StreamGenerateResponse]:
    return [event async for event in call]


async def deadline_seen(allowed: float | None, *, streaming: bool = False) -> float:
    """Seconds the handler was given."""
    given: list[float] = []

    async def handle(call: Call) -> ResponseStream:
        given.append(call.deadline - asyncio.get_running_loop().time())
        return await saying(*HELLO)(call)

    async with serving(build(handle, timeouts=Timeouts(unary=60.0, stream=120.0))) as world:
        if streaming:
            await events_of(world.generation.StreamGenerate(STREAMED, timeout=allowed))
        else:
            await world.generation.Generate(QUESTION, timeout=allowed)
    return given[0]


async def test_without_a_deadline_the_servers_counts() -> None:
    assert 58.5 < await deadline_seen(None) <= 59.5
    assert 118.5 < await deadline_seen(None, streaming=True) <= 119.5


async def test_a_shorter_deadline_of_the_caller_counts_less_what_is_kept_back() -> None:
    assert 18.5 < await deadline_seen(20.0) <= 19.8  # gRPC rounds a timeout up on its way


async def test_a_longer_deadline_of_the_caller_does_not_count() -> None:
    assert 58.5 < await deadline_seen(1000.0) <= 59.5


async def test_of_a_very_short_deadline_little_is_kept_back() -> None:
    assert 0.5 < await deadline_seen(1.0) <= 0.95


async def test_the_servers_own_limit_ends_a_call_that_nobody_else_ends() -> None:
    async def handle(call: Call) -> ResponseStream:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(build(handle, timeouts=Timeouts(unary=0.02, stream=0.02))) as world:
        unary = await refusal(world.generation.Generate(QUESTION))
        stream = await refusal(world.generation.StreamGenerate(STREAMED))

    assert [unary.code, stream.code] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2
    assert [unary.reason, stream.reason] == ["DEADLINE_EXCEEDED"] * 2


async def test_a_client_that_does_not_read_is_not_waited_for_longer_than_the_limit() -> None:
    closed = asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            while True:
                yield PartCompleted(0, Text("x" * 500_000))

        return reply_of_events(call, events(), closed)

    async with serving(build(handle, timeouts=Timeouts(stream=0.2))) as world:
        call = aiter(world.generation.StreamGenerate(STREAMED))
        await anext(call)
        await asyncio.wait_for(closed.wait(), 10)
        failed = await refusal(call)

    assert failed.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_timeout_of_somebody_else_is_a_bug_like_any_other() -> None:
    async def handle(call: Call) -> ResponseStream:
        raise TimeoutError("from a library")

    async with serving(build(handle)) as world:
        seen = await refusal(world.generation.Generate(QUESTION))

    assert seen.code is grpc.StatusCode.INTERNAL
