"""A server whose event loop is late takes no new calls until it has caught up."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.resilience.load_shedding import LoopLag
from tests.support.rpc import QUESTION, Waiting, build, serving
from tests.support.rpc_errors import refusal


async def test_a_late_server_finishes_what_it_has_and_takes_nothing_new() -> None:
    handler, late = Waiting(), threading.Event()
    async with serving(build(handler, is_late=late.is_set)) as world:
        under_way = asyncio.ensure_future(world.generation.Generate(QUESTION))
        await handler.entered.wait()
        late.set()
        seen = await refusal(world.generation.Generate(QUESTION))
        probe = await HealthStub(world.channel).Check(HealthCheckRequest(service="readiness"))
        handler.go.set()
        answer = await under_way
        late.clear()
        again = await world.generation.Generate(QUESTION)

    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert seen.trailers["grpc-retry-pushback-ms"] == "1000"
    assert seen.detail(error_details_pb2.RetryInfo).retry_delay.seconds == 1
    assert probe.status == HealthCheckResponse.SERVING
    assert answer.message.parts[0].text == again.message.parts[0].text == "Hello"


async def test_a_call_that_came_while_the_loop_stood_still_is_turned_away_and_a_later_one_is_not() -> None:
    lag, stands_still = LoopLag(time.monotonic, limit=0.3), threading.Event()

    def call_from_outside(port: int) -> str:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(10)
            stands_still.wait(10)
            try:
                GenerationServiceStub(channel).Generate(QUESTION, timeout=10)
            except grpc.RpcError as error:
                return str(error.details())
        return ""

    async with serving(build(is_late=lag.is_late)) as world:
        await world.generation.Generate(QUESTION)
        lag.start()
        outside = asyncio.ensure_future(asyncio.to_thread(call_from_outside, world.server.port))
        await asyncio.sleep(0.3)
        stands_still.set()
        time.sleep(1.0)  # noqa: ASYNC251  # holding up the loop is the point
        said = await outside
        await asyncio.sleep(0.3)
        again = await world.generation.Generate(QUESTION)
    lag.stop()

    assert said == "The server cannot keep up and takes no new calls for a moment."
    assert again.message.parts[0].text == "Hello"
