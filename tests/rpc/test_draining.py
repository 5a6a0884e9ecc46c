"""Readiness, signals, and an end that loses no call."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import grpc
import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1 import usage_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, ResponseStream, TextDelta
from tests.support.layers import booked
from tests.support.rpc import QUESTION, STREAMED, Waiting, build, reply_of_events, serving, settings
from tests.support.rpc_errors import refusal

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def status(channel: grpc.aio.Channel, service: str) -> int:
    return int((await HealthStub(channel).Check(HealthCheckRequest(service=service))).status)


async def test_a_drain_tells_watchers_refuses_new_calls_and_lets_old_ones_end() -> None:
    handler = Waiting()
    server = build(handler)
    async with serving(server) as world:
        watch = aiter(HealthStub(world.channel).Watch(HealthCheckRequest(service="readiness")))
        before = (await anext(watch)).status
        under_way = asyncio.ensure_future(world.generation.Generate(QUESTION))
        await handler.entered.wait()

        draining = asyncio.ensure_future(server.drain())
        after = (await anext(watch)).status
        alive = await status(world.channel, "liveness")
        refused = await refusal(world.generation.Generate(QUESTION))
        handler.go.set()
        answer = await under_way
        await asyncio.wait_for(draining, 10)

    assert (before, after, alive) == (SERVING, NOT_SERVING, SERVING)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert answer.message.parts[0].text == "Hello"
    assert [one async for one in watch] == []


async def test_an_open_watch_does_not_keep_a_server_from_stopping() -> None:
    server = build()
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(service=""))
        await watch.read()
        server._parting_seconds = 60.0

        await asyncio.wait_for(server.drain(), 10)


async def test_a_call_that_outlives_the_drain_is_cut() -> None:
    handler = Waiting()
    server = build(handler, settings({"drain_seconds": 0.01}))
    async with serving(server) as world:
        under_way = asyncio.ensure_future(refusal(world.generation.Generate(QUESTION)))
        await handler.entered.wait()
        await server.drain()
        seen = await under_way

    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")


async def test_a_stream_that_outlives_the_drain_is_interrupted_not_lost() -> None:
    async def handle(call: Call) -> ResponseStream:
        async def events() -> AsyncIterator[Event]:
            yield TextDelta(0, "Hel")
            await asyncio.Event().wait()

        return reply_of_events(call, events())

    server = build(booked(handle), settings({"drain_seconds": 0.01}))
    async with serving(server) as world:
        stream = aiter(world.generation.StreamGenerate(STREAMED))
        await anext(stream)
        draining = asyncio.ensure_future(server.drain())
        seen = await refusal(stream)
        await draining

    assert (seen.code, seen.reason) == (grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED")
    spent = seen.detail(usage_pb2.Usage)
    assert (spent.input_tokens, spent.output_tokens, spent.source) == (1, 1, usage_pb2.USAGE_SOURCE_ESTIMATED)


async def test_sigterm_drains_and_a_second_one_stops_at_once() -> None:
    handler = Waiting()
    server = build(handler, settings({"drain_seconds": 600.0}))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        serving_ = asyncio.ensure_future(server.serve_until_signal())
        under_way = asyncio.ensure_future(refusal(GenerationServiceStub(channel).Generate(QUESTION)))
        await handler.entered.wait()
        watch = HealthStub(channel).Watch(HealthCheckRequest(service="readiness"))
        await watch.read()

        os.kill(os.getpid(), signal.SIGTERM)
        told = (await watch.read()).status
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving_, 10)
        await under_way

    assert told == NOT_SERVING


async def test_sigint_stops_an_idle_server() -> None:
    server = build()
    await server.start()
    serving_ = asyncio.ensure_future(server.serve_until_signal())
    await asyncio.sleep(0)

    os.kill(os.getpid(), signal.SIGINT)

    await asyncio.wait_for(serving_, 10)
