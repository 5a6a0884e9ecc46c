"""Tiers, places and counts: who is turned away when there is too much."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager_server.core.errors import RateLimited
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from aimanager_server.telemetry.metrics import Metrics
from tests.support.rpc import HELLO, QUESTION, STREAMED, Waiting, bearer, build, callers, saying, serving, settings
from tests.support.rpc_errors import refusal

GENERATE = "/aimanager.v1.GenerationService/Generate"


async def test_a_caller_above_its_tier_is_told_when_to_come_back() -> None:
    chosen = settings(callers=callers("ann", "bob"), tiers={"free": {"requests_per_minute": 1}})
    async with serving(build(chosen=chosen)) as world:
        await world.generation.Generate(QUESTION, metadata=bearer("ann"))
        seen = await refusal(world.generation.Generate(QUESTION, metadata=bearer("ann")))
        other = await world.generation.Generate(QUESTION, metadata=bearer("bob"))

    assert (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert 0 < seen.detail(error_details_pb2.RetryInfo).retry_delay.seconds <= 60
    assert seen.detail(error_details_pb2.QuotaFailure).violations[0].subject == "ann"
    assert other.message.parts[0].text == "Hello"


async def test_a_call_refused_further_in_charges_nothing() -> None:
    refused_once = iter([RateLimited("The provider's quota is used up.")])

    async def handle(call: Call) -> ResponseStream:
        for fault in refused_once:
            raise fault
        return await saying(*HELLO)(call)

    chosen = settings(callers=callers("ann"), tiers={"free": {"requests_per_minute": 1}})
    async with serving(build(handle, chosen)) as world:
        await refusal(world.generation.Generate(QUESTION, metadata=bearer("ann")))
        answer = await world.generation.Generate(QUESTION, metadata=bearer("ann"))

    assert answer.message.parts[0].text == "Hello"


async def test_a_full_server_refuses_work_and_answers_its_probe() -> None:
    handler = Waiting()
    async with serving(build(handler, settings({"max_in_flight": 1, "queue_length": 0}))) as world:
        first = asyncio.ensure_future(world.generation.Generate(QUESTION))
        await handler.entered.wait()
        seen = await refusal(world.generation.Generate(QUESTION))
        probe = await HealthStub(world.channel).Check(HealthCheckRequest(service="readiness"))
        handler.go.set()
        await first
        again = await world.generation.Generate(QUESTION)

    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert seen.trailers["grpc-retry-pushback-ms"] == "1000"
    assert probe.status == HealthCheckResponse.SERVING
    assert again.message.parts[0].text == "Hello"


async def test_one_caller_cannot_take_every_place() -> None:
    handler = Waiting()
    chosen = settings({"max_in_flight_per_caller": 1, "queue_length": 0}, callers=callers("ann", "bob"))
    async with serving(build(handler, chosen)) as world:
        first = asyncio.ensure_future(world.generation.Generate(QUESTION, metadata=bearer("ann")))
        await handler.entered.wait()
        seen = await refusal(world.generation.Generate(QUESTION, metadata=bearer("ann")))
        handler.go.set()
        other = await world.generation.Generate(QUESTION, metadata=bearer("bob"))
        await first

    assert seen.reason == "OVERLOADED"
    assert other.message.parts[0].text == "Hello"


async def test_every_rpc_is_counted_by_method_and_code() -> None:
    metrics = Metrics(lambda provider, model: True)
    handler = Waiting()
    async with serving(build(handler, metrics=metrics)) as world:
        cancelled = world.generation.StreamGenerate(STREAMED)
        await handler.entered.wait()
        cancelled.cancel()
        handler.go.set()
        await world.generation.Generate(QUESTION)
        await refusal(world.raw(GENERATE)(b"\xff"))
        await refusal(world.raw("/nobody/Nothing")(b""))
        await refusal(HealthStub(world.channel).Check(HealthCheckRequest(service="nobody")))

    counted = {
        (sample.labels["rpc_method"].partition("/")[2], sample.labels["rpc_response_status_code"])
        for metric in metrics.rpc.collect()
        for sample in metric.samples
        if sample.name.endswith("_count")
    }
    assert counted == {
        ("Generate", "OK"),
        ("Generate", "INVALID_ARGUMENT"),
        ("StreamGenerate", "CANCELLED"),
        ("Check", "NOT_FOUND"),
    }


async def test_a_place_is_free_again_however_the_call_before_ended() -> None:
    handler = Waiting()
    async with serving(build(handler, settings({"max_in_flight": 2}))) as world:
        kept = asyncio.ensure_future(world.generation.Generate(QUESTION))
        await handler.entered.wait()
        handler.entered.clear()
        cancelled = world.generation.StreamGenerate(STREAMED)
        await handler.entered.wait()
        cancelled.cancel()
        broken = await refusal(world.raw(GENERATE)(b"\xff"))
        handler.go.set()
        answer = await world.generation.Generate(QUESTION)
        await kept

    assert broken.reason in ("INVALID_FIELD", "OVERLOADED")
    assert answer.message.parts[0].text == "Hello"
