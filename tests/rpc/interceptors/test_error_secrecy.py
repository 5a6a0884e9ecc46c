"""Unexpected exceptions: clients see none of their details, logs do."""

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
from aimanager_server.core.response import Event, PartCompleted, TextDelta
from aimanager_server.core.stream import ResponseStream
from tests.support.rpc import CANARY, REQUEST, STREAM_REQUEST, build_server, raising, running, stream_of
from tests.support.rpc_errors import RpcFailure, failure_of


async def fail_with(error: BaseException, *metadata: tuple[str, str]) -> RpcFailure:
    async with running(build_server(raising(error))) as gateway:
        return await failure_of(gateway.generation.Generate(REQUEST, metadata=metadata))


async def test_an_unexpected_exception_hides_its_cause_from_the_client(log_events: list[dict[str, object]]) -> None:
    failure = await fail_with(RuntimeError("the database password is hunter2"), ("x-request-id", "r-7"))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert "hunter2" not in repr(failure.error) + repr(failure.trailers)
    assert "RuntimeError" not in repr(failure.error) + repr(failure.trailers)
    event = next(event for event in log_events if event["event"] == "rpc.crashed")
    assert event["request_id"] == "r-7"
    assert "hunter2" in str(event["exception"])


async def test_a_callers_key_in_an_exception_is_redacted(
    log_events: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    failure = await fail_with(RuntimeError(f"bad header {CANARY}"), ("x-provider-key-claude", CANARY))

    assert CANARY not in repr(failure.error) + repr(failure.trailers) + repr(log_events) + caplog.text
    assert any(event["event"] == "rpc.crashed" for event in log_events)


async def test_an_unexpected_exception_in_a_stream_hides_its_cause() -> None:
    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            raise RuntimeError("hunter2")

        return stream_of(call, events())

    async with running(build_server(handle)) as gateway:
        failure = await failure_of(gateway.generation.StreamGenerate(STREAM_REQUEST))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert "hunter2" not in repr(failure.error)


async def test_a_cancellation_raised_by_a_library_is_an_internal_error() -> None:
    async with running(build_server(raising(asyncio.CancelledError()))) as gateway:
        unary = await failure_of(gateway.generation.Generate(REQUEST, timeout=20))
        stream = await failure_of(gateway.generation.StreamGenerate(STREAM_REQUEST, timeout=20))

    assert [unary.code, stream.code] == [grpc.StatusCode.INTERNAL] * 2


async def test_a_cancellation_under_back_pressure_cleans_up_in_the_streams_own_context(
    caplog: pytest.LogCaptureFixture,
) -> None:
    span: ContextVar[str] = ContextVar("span")
    closed, generator_closed = asyncio.Event(), asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            token = span.set(call.id)
            try:
                while True:
                    yield PartCompleted(0, Text("x" * 100_000))
            finally:
                span.reset(token)
                generator_closed.set()

        return stream_of(call, events(), closed)

    async with running(build_server(handle)) as gateway:
        stream = gateway.generation.StreamGenerate(STREAM_REQUEST)
        await stream.read()
        stream.cancel()
        await asyncio.wait_for(asyncio.gather(closed.wait(), generator_closed.wait()), 10)

    assert "Context" not in caplog.text


async def test_a_cancellation_reaches_a_handler_that_waits_for_a_provider() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(call: Call) -> ResponseStream:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with running(build_server(handle)) as gateway:
        call = gateway.generation.Generate(REQUEST)
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_failed_write_is_not_logged_as_a_crash(log_events: list[dict[str, object]]) -> None:
    failure = await fail_with(grpc.aio.InternalError("batch 17 failed"))

    assert failure.code is grpc.StatusCode.INTERNAL
    assert "batch 17" not in repr(failure.error)
    assert "rpc.crashed" not in {event["event"] for event in log_events}
