"""Draining: readiness, signals, and a shutdown that loses no call."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1 import usage_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import Event, TextDelta
from aimanager_server.core.stream import ResponseStream
from tests.support.layers import single_attempt, with_accounting
from tests.support.rpc import (
    REQUEST,
    STREAM_REQUEST,
    BlockingHandler,
    build_server,
    running,
    server_settings,
    stream_of,
)
from tests.support.rpc_errors import failure_of

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def status(channel: grpc.aio.Channel, service: str) -> int:
    return int((await HealthStub(channel).Check(HealthCheckRequest(service=service))).status)


async def test_a_drain_notifies_watchers_rejects_new_calls_and_lets_calls_in_flight_end() -> None:
    handler = BlockingHandler()
    server = build_server(handler)
    async with running(server) as gateway:
        watch = aiter(HealthStub(gateway.channel).Watch(HealthCheckRequest(service="readiness")))
        before = (await anext(watch)).status
        in_flight = asyncio.ensure_future(gateway.generation.Generate(REQUEST))
        await handler.entered.wait()

        draining = asyncio.ensure_future(server.drain())
        after = (await anext(watch)).status
        alive = await status(gateway.channel, "liveness")
        rejected = await failure_of(gateway.generation.Generate(REQUEST))
        handler.release.set()
        response = await in_flight
        await asyncio.wait_for(draining, 10)

    assert (before, after, alive) == (SERVING, NOT_SERVING, SERVING)
    assert (rejected.code, rejected.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert response.message.parts[0].text == "Hello"
    assert [one async for one in watch] == []


async def test_an_open_watch_does_not_delay_the_shutdown() -> None:
    server = build_server(cancel_grace_seconds=60.0)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(service=""))
        await watch.read()

        await asyncio.wait_for(server.drain(), 10)


async def test_a_call_in_flight_after_the_drain_timeout_is_cancelled() -> None:
    handler = BlockingHandler()
    server = build_server(handler, server_settings({"drain_timeout_seconds": 0.01}))
    async with running(server) as gateway:
        in_flight = asyncio.ensure_future(failure_of(gateway.generation.Generate(REQUEST)))
        await handler.entered.wait()
        await server.drain()
        failure = await in_flight

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")


async def test_a_stream_in_flight_after_the_drain_timeout_is_interrupted_with_its_usage() -> None:
    async def handle(attempt: Attempt[Any]) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            await asyncio.Event().wait()

        return stream_of(attempt, events())

    server = build_server(single_attempt(with_accounting(handle)), server_settings({"drain_timeout_seconds": 0.01}))
    async with running(server) as gateway:
        stream = aiter(gateway.generation.StreamGenerate(STREAM_REQUEST))
        await anext(stream)
        draining = asyncio.ensure_future(server.drain())
        failure = await failure_of(stream)
        await draining

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED")
    usage = failure.detail(usage_pb2.Usage)
    assert (usage.input_tokens, usage.output_tokens, usage.source) == (1, 1, usage_pb2.USAGE_SOURCE_ESTIMATED)


async def test_sigterm_drains_and_a_second_one_stops_at_once() -> None:
    handler = BlockingHandler()
    server = build_server(handler, server_settings({"drain_timeout_seconds": 600.0}))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        serving = asyncio.ensure_future(server.serve_until_signal())
        in_flight = asyncio.ensure_future(failure_of(GenerationServiceStub(channel).Generate(REQUEST)))
        await handler.entered.wait()
        watch = HealthStub(channel).Watch(HealthCheckRequest(service="readiness"))
        await watch.read()

        os.kill(os.getpid(), signal.SIGTERM)
        after = (await watch.read()).status
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 10)
        await in_flight

    assert after == NOT_SERVING


async def test_sigint_stops_an_idle_server() -> None:
    server = build_server()
    await server.start()
    serving = asyncio.ensure_future(server.serve_until_signal())
    await asyncio.sleep(0)

    os.kill(os.getpid(), signal.SIGINT)

    await asyncio.wait_for(serving, 10)
