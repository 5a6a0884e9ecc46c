"""Rate limits of tiers, concurrency limits, and metrics of every RPC."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager_server.core.errors import RateLimited
from aimanager_server.core.request import Call
from aimanager_server.core.stream import ResponseStream
from aimanager_server.telemetry.metrics import Metrics
from tests.support.eventually import eventually
from tests.support.rpc import (
    HELLO_EVENTS,
    REQUEST,
    STREAM_REQUEST,
    BlockingHandler,
    answering,
    bearer,
    build_server,
    callers,
    running,
    server_settings,
)
from tests.support.rpc_errors import failure_of

GENERATE = "/aimanager.v1.GenerationService/Generate"


async def test_a_caller_above_its_request_quota_is_rejected_with_a_retry_delay() -> None:
    settings = server_settings(callers=callers("ann", "bob"), tiers={"free": {"requests_per_minute": 1}})
    async with running(build_server(settings=settings)) as gateway:
        await gateway.generation.Generate(REQUEST, metadata=bearer("ann"))
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=bearer("ann")))
        other = await gateway.generation.Generate(REQUEST, metadata=bearer("bob"))

    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert 0 < failure.detail(error_details_pb2.RetryInfo).retry_delay.seconds <= 60
    assert failure.detail(error_details_pb2.QuotaFailure).violations[0].subject == "ann"
    assert other.message.parts[0].text == "Hello"


async def test_a_call_rejected_further_in_does_not_use_quota() -> None:
    errors = iter([RateLimited("The provider's quota is used up.")])

    async def handle(call: Call) -> ResponseStream:
        for error in errors:
            raise error
        return await answering(*HELLO_EVENTS)(call)

    settings = server_settings(callers=callers("ann"), tiers={"free": {"requests_per_minute": 1}})
    async with running(build_server(handle, settings)) as gateway:
        await failure_of(gateway.generation.Generate(REQUEST, metadata=bearer("ann")))
        response = await gateway.generation.Generate(REQUEST, metadata=bearer("ann"))

    assert response.message.parts[0].text == "Hello"


async def test_a_full_server_rejects_calls_and_answers_health_checks() -> None:
    handler = BlockingHandler()
    async with running(build_server(handler, server_settings({"max_in_flight": 1, "max_queue_length": 0}))) as gateway:
        first = asyncio.ensure_future(gateway.generation.Generate(REQUEST))
        await handler.entered.wait()
        failure = await failure_of(gateway.generation.Generate(REQUEST))
        check = await HealthStub(gateway.channel).Check(HealthCheckRequest(service="readiness"))
        handler.release.set()
        await first
        again = await gateway.generation.Generate(REQUEST)

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert failure.trailers["grpc-retry-pushback-ms"] == "1000"
    assert check.status == HealthCheckResponse.SERVING
    assert again.message.parts[0].text == "Hello"


async def test_one_caller_cannot_use_every_permit() -> None:
    handler = BlockingHandler()
    settings = server_settings({"max_in_flight_per_caller": 1, "max_queue_length": 0}, callers=callers("ann", "bob"))
    async with running(build_server(handler, settings)) as gateway:
        first = asyncio.ensure_future(gateway.generation.Generate(REQUEST, metadata=bearer("ann")))
        await handler.entered.wait()
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=bearer("ann")))
        handler.release.set()
        other = await gateway.generation.Generate(REQUEST, metadata=bearer("bob"))
        await first

    assert failure.reason == "OVERLOADED"
    assert other.message.parts[0].text == "Hello"


def counted_rpcs(metrics: Metrics) -> set[tuple[str, str]]:
    """Return method and status code of each RPC that was counted."""
    return {
        (sample.labels["rpc_method"].partition("/")[2], sample.labels["rpc_response_status_code"])
        for metric in metrics.rpc_duration.collect()
        for sample in metric.samples
        if sample.name.endswith("_count")
    }


async def test_every_rpc_is_counted_by_method_and_code() -> None:
    metrics = Metrics(lambda provider, model: True)
    handler = BlockingHandler()
    async with running(build_server(handler, metrics=metrics)) as gateway:
        cancelled = gateway.generation.StreamGenerate(STREAM_REQUEST)
        await handler.entered.wait()
        cancelled.cancel()
        # The server reads the cancellation later, and a call may expire before the server has read it.
        await eventually(lambda: ("StreamGenerate", "CANCELLED") in counted_rpcs(metrics), True)
        while ("Generate", "DEADLINE_EXCEEDED") not in counted_rpcs(metrics):
            await failure_of(gateway.generation.Generate(REQUEST, timeout=0.5))
        handler.release.set()
        await gateway.generation.Generate(REQUEST)
        await failure_of(gateway.raw(GENERATE)(b"\xff"))
        await failure_of(gateway.raw("/nobody/Nothing")(b""))
        await failure_of(HealthStub(gateway.channel).Check(HealthCheckRequest(service="nobody")))

    assert counted_rpcs(metrics) == {
        ("Generate", "OK"),
        ("Generate", "INVALID_ARGUMENT"),
        ("Generate", "DEADLINE_EXCEEDED"),
        ("StreamGenerate", "CANCELLED"),
        ("Check", "NOT_FOUND"),
    }


async def test_a_permit_is_released_however_a_call_ends() -> None:
    handler = BlockingHandler()
    async with running(build_server(handler, server_settings({"max_in_flight": 2}))) as gateway:
        first = asyncio.ensure_future(gateway.generation.Generate(REQUEST))
        await handler.entered.wait()
        handler.entered.clear()
        cancelled = gateway.generation.StreamGenerate(STREAM_REQUEST)
        await handler.entered.wait()
        cancelled.cancel()
        broken = await failure_of(gateway.raw(GENERATE)(b"\xff"))
        handler.release.set()
        response = await gateway.generation.Generate(REQUEST)
        await first

    assert broken.reason in ("INVALID_FIELD", "OVERLOADED")
    assert response.message.parts[0].text == "Hello"
