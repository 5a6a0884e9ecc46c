"""Load shedding: a server whose event loop lags rejects new calls until it has caught up."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.resilience.load_shedding import EventLoopLagMonitor
from tests.support.rpc import REQUEST, BlockingHandler, build_server, running, text_of
from tests.support.rpc_errors import failure_of

MAX_LAG_SECONDS = 0.1


async def test_an_overloaded_server_finishes_calls_in_flight_and_rejects_new_ones() -> None:
    handler, overloaded = BlockingHandler(), threading.Event()
    async with running(build_server(handler, is_overloaded=overloaded.is_set)) as gateway:
        in_flight = asyncio.ensure_future(gateway.generation.Generate(REQUEST))
        await handler.entered.wait()
        overloaded.set()
        failure = await failure_of(gateway.generation.Generate(REQUEST))
        check = await HealthStub(gateway.channel).Check(HealthCheckRequest(service="readiness"))
        handler.release.set()
        response = await in_flight
        overloaded.clear()
        later = await gateway.generation.Generate(REQUEST)

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert failure.metadata["quota"] == "event_loop_lag"
    assert failure.trailers["grpc-retry-pushback-ms"] == "1000"
    assert failure.detail(error_details_pb2.RetryInfo).retry_delay.seconds == 1
    assert check.status == HealthCheckResponse.SERVING
    assert text_of(response) == text_of(later) == "Hello"


async def test_a_call_that_arrives_while_the_event_loop_is_blocked_is_rejected_and_a_later_one_is_not() -> None:
    monitor = EventLoopLagMonitor(time.monotonic, max_lag_seconds=MAX_LAG_SECONDS)
    connected, blocked, called = threading.Event(), threading.Event(), threading.Event()

    def call_from_another_thread(port: int) -> str:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(10)
            connected.set()
            blocked.wait(10)
            call = GenerationServiceStub(channel).Generate.future(REQUEST, timeout=10)
            called.set()
            error = call.exception()
            return str(error.details()) if isinstance(error, grpc.RpcError) else ""

    async with running(build_server(is_overloaded=monitor.is_overloaded)) as gateway:
        monitor.start()
        caller = asyncio.ensure_future(asyncio.to_thread(call_from_another_thread, gateway.server.port))
        while not connected.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.001)
        blocked.set()
        called.wait(10)
        time.sleep(5 * MAX_LAG_SECONDS)  # noqa: ASYNC251  # blocks the event loop on purpose
        message = await caller
        while monitor.is_overloaded():  # noqa: ASYNC110  # no event announces it
            await asyncio.sleep(0.001)
        later = await gateway.generation.Generate(REQUEST)
    monitor.stop()

    assert message == "Server overloaded (event loop lag); new calls are temporarily rejected. Retry in 1 s."
    assert text_of(later) == "Hello"
