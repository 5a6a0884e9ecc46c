"""What is no fault of the table, and what a client must not see of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextvars import ContextVar

import grpc
import grpc.aio
import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, PartCompleted, ResponseStream, TextDelta
from tests.support.rpc import CANARY, QUESTION, STREAMED, build, failing, reply_of_events, serving
from tests.support.rpc_errors import Refusal, refusal


async def failure(error: BaseException, *metadata: tuple[str, str]) -> Refusal:
    async with serving(build(failing(error))) as world:
        return await refusal(world.generation.Generate(QUESTION, metadata=metadata))


async def test_an_unexpected_exception_says_nothing_of_its_cause(logged: list[dict[str, object]]) -> None:
    seen = await failure(RuntimeError("the database password is hunter2"), ("x-request-id", "r-7"))

    assert (seen.code, seen.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert "hunter2" not in repr(seen.error) + repr(seen.trailers)
    assert "RuntimeError" not in repr(seen.error) + repr(seen.trailers)
    event = next(event for event in logged if event["event"] == "rpc.crashed")
    assert event["request_id"] == "r-7"
    assert "hunter2" in str(event["exception"])


async def test_a_callers_key_in_an_exception_reaches_neither_log_nor_client(
    logged: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    seen = await failure(RuntimeError(f"bad header {CANARY}"), ("x-provider-key-claude", CANARY))

    assert CANARY not in repr(seen.error) + repr(seen.trailers) + repr(logged) + caplog.text
    assert any(event["event"] == "rpc.crashed" for event in logged)


async def test_a_stream_that_breaks_says_nothing_of_its_cause() -> None:
    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            raise RuntimeError("hunter2")

        return reply_of_events(call, events())

    async with serving(build(handle)) as world:
        seen = await refusal(world.generation.StreamGenerate(STREAMED))

    assert (seen.code, seen.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert "hunter2" not in repr(seen.error)


async def test_a_foreign_cancellation_is_an_internal_error_at_once() -> None:
    async with serving(build(failing(asyncio.CancelledError()))) as world:
        unary = await refusal(world.generation.Generate(QUESTION, timeout=20))
        stream = await refusal(world.generation.StreamGenerate(STREAMED, timeout=20))

    assert [unary.code, stream.code] == [grpc.StatusCode.INTERNAL] * 2


async def test_a_cancel_under_back_pressure_cleans_up_in_the_streams_own_context(
    caplog: pytest.LogCaptureFixture,
) -> None:
    span: ContextVar[str] = ContextVar("span")
    closed, left = asyncio.Event(), asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            token = span.set(call.id)
            try:
                while True:
                    yield PartCompleted(0, Text("x" * 100_000))
            finally:
                span.reset(token)
                left.set()

        return reply_of_events(call, events(), closed)

    async with serving(build(handle)) as world:
        stream = world.generation.StreamGenerate(STREAMED)
        await stream.read()
        stream.cancel()
        await asyncio.wait_for(asyncio.gather(closed.wait(), left.wait()), 10)

    assert "Context" not in caplog.text


async def test_a_cancel_while_waiting_for_a_provider_reaches_the_handler() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with serving(build(handle)) as world:
        call = world.generation.Generate(QUESTION)
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_write_that_fails_is_no_crash(logged: list[dict[str, object]]) -> None:
    seen = await failure(grpc.aio.InternalError("batch 17 failed"))

    assert seen.code is grpc.StatusCode.INTERNAL
    assert "batch 17" not in repr(seen.error)
    assert "rpc.crashed" not in {event["event"] for event in logged}
