"""Admission over real gRPC: limits, the queue, and fairness between callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager_server.config.settings import ServerSettings
from aimanager_server.core.errors import Overloaded
from aimanager_server.rpc.context import Rpc
from aimanager_server.rpc.interceptors.admission import Admission
from aimanager_server.rpc.server import GatewayServer
from tests.support.http_servers.blackhole import HAS_PROC_NET, nodelay_from
from tests.support.rpc import (
    REQUEST,
    STREAM_REQUEST,
    BlockingHandler,
    RunningServer,
    bearer,
    build_server,
    callers,
    running,
    server_settings,
    text_of,
)
from tests.support.rpc_errors import failure_of


async def until_queued(server: GatewayServer, count: int) -> None:
    async with asyncio.timeout(5):
        while server.admission.queued != count:  # noqa: ASYNC110  # no event announces it
            await asyncio.sleep(0.002)


@asynccontextmanager
async def full_server(
    handler: BlockingHandler, limits: dict[str, Any], **sections: Any
) -> AsyncIterator[RunningServer]:
    """A server with one permit, which a first call holds until the end of the block."""
    settings = server_settings({"max_in_flight": 1, "queue_timeout_seconds": 60.0, **limits}, **sections)
    async with running(build_server(handler, settings)) as gateway:
        metadata = bearer("zoe") if sections else None
        first = asyncio.ensure_future(gateway.generation.Generate(REQUEST, metadata=metadata))
        await handler.entered.wait()
        yield gateway
        handler.release.set()
        await first


def start_call(gateway: RunningServer, caller: str = "") -> asyncio.Future[Any]:
    call: asyncio.Future[Any] = asyncio.ensure_future(
        gateway.generation.Generate(REQUEST, metadata=bearer(caller) if caller else None)
    )
    return call


async def test_a_call_beyond_the_limit_waits_for_a_permit() -> None:
    handler = BlockingHandler()
    async with full_server(handler, {}) as gateway:
        second = start_call(gateway)
        await until_queued(gateway.server, 1)
        handler.release.set()
        response = await second

    assert text_of(response) == "Hello"


async def test_health_checks_bypass_a_full_server_and_a_full_queue() -> None:
    handler = BlockingHandler()
    async with full_server(handler, {"max_queue_length": 1}) as gateway:
        second = start_call(gateway)
        await until_queued(gateway.server, 1)
        failure = await failure_of(gateway.generation.StreamGenerate(STREAM_REQUEST))
        check = await HealthStub(gateway.channel).Check(HealthCheckRequest(service="readiness"))
        watch = HealthStub(gateway.channel).Watch(HealthCheckRequest(service="readiness"))
        watched = await watch.read()
        watch.cancel()
        handler.release.set()
        await second

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert failure.trailers["grpc-retry-pushback-ms"] == "1000"
    assert failure.detail(error_details_pb2.RetryInfo).retry_delay.seconds == 1
    assert (check.status, watched.status) == (HealthCheckResponse.SERVING, HealthCheckResponse.SERVING)


async def test_a_queued_call_is_rejected_after_the_queue_timeout() -> None:
    async with full_server(BlockingHandler(), {"queue_timeout_seconds": 0.05}) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST))

    assert failure.reason == "OVERLOADED"
    assert failure.message == "Concurrency limit reached for the server (1 calls in flight). Retry in 1 s."


async def test_a_cancelled_call_leaves_the_queue_at_once() -> None:
    handler = BlockingHandler()
    async with full_server(handler, {"max_queue_length": 1}) as gateway:
        cancelled = gateway.generation.Generate(REQUEST)
        await until_queued(gateway.server, 1)
        cancelled.cancel()
        await until_queued(gateway.server, 0)
        second = start_call(gateway)
        await until_queued(gateway.server, 1)
        handler.release.set()
        await second

    assert len(handler.calls) == 2
    assert (gateway.server.admission.in_flight, gateway.server.admission.queued) == (0, 0)


async def test_a_caller_that_fills_the_queue_loses_a_place_to_another_caller() -> None:
    handler = BlockingHandler()
    async with full_server(handler, {"max_queue_length": 3}, callers=callers("ann", "bob", "zoe")) as gateway:
        greedy = [start_call(gateway, "ann") for _ in range(3)]
        await until_queued(gateway.server, 3)
        modest = start_call(gateway, "bob")
        done, _ = await asyncio.wait(greedy, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        handler.release.set()
        response = await modest
        outcomes = await asyncio.gather(*greedy, return_exceptions=True)

    assert (len(done), sum(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes)) == (1, 1)
    assert text_of(response) == "Hello"


async def test_a_caller_at_its_own_limit_does_not_block_other_callers() -> None:
    handler = BlockingHandler()
    limits = {"max_in_flight": 9, "max_in_flight_per_caller": 1}
    async with full_server(handler, limits, callers=callers("bob", "zoe")) as gateway:
        same_caller = start_call(gateway, "zoe")
        await until_queued(gateway.server, 1)
        handler.entered.clear()
        other_caller = start_call(gateway, "bob")
        await handler.entered.wait()
        admitted = len(handler.calls)
        handler.release.set()
        await asyncio.gather(same_caller, other_caller)

    assert admitted == 2


async def test_a_drain_rejects_queued_calls() -> None:
    handler = BlockingHandler()
    async with full_server(handler, {}) as gateway:
        queued = asyncio.ensure_future(failure_of(gateway.generation.Generate(REQUEST)))
        await until_queued(gateway.server, 1)
        draining = asyncio.ensure_future(gateway.server.drain())
        failure = await queued
        handler.release.set()
        await draining

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert failure.message == "The server is shutting down."


class NearDeadline:
    """A gRPC context whose caller has 50 ms left."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> float:
        return 0.05


async def test_a_queued_call_is_rejected_before_its_deadline() -> None:
    settings = ServerSettings(
        max_in_flight=1, max_in_flight_per_caller=1, max_queue_length=1, queue_timeout_seconds=60.0
    )
    admission, entered = Admission(settings), asyncio.Event()

    async def block(rpc: Rpc) -> None:
        entered.set()
        await asyncio.Event().wait()

    first = asyncio.ensure_future(admission.intercept(Rpc("m", NearDeadline()), block))
    await entered.wait()
    with pytest.raises(Overloaded):
        await asyncio.wait_for(admission.intercept(Rpc("m", NearDeadline()), block), 5.0)
    first.cancel()
    await asyncio.wait_for(admission.wait_until_idle(), 5.0)


@pytest.mark.skipif(not HAS_PROC_NET, reason="only Linux shows the sockets of a process")
async def test_small_messages_are_sent_without_delay() -> None:
    async with running(build_server()) as gateway:
        await gateway.generation.Generate(REQUEST)

        assert nodelay_from(gateway.server.port) == [True]
