"""Waiting for a place, over real gRPC: in order, not for long, and nobody in the way of others."""

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

from aimanager_server.core.errors import Overloaded
from aimanager_server.rpc.context import Rpc
from aimanager_server.rpc.interceptors.admission import Admit
from aimanager_server.rpc.server import Server
from tests.support.http_servers.blackhole import CAN_LOOK, sends_at_once_from
from tests.support.rpc import QUESTION, STREAMED, Waiting, World, bearer, build, callers, serving, settings
from tests.support.rpc_errors import refusal

PATIENT = {"queue_seconds": 60.0}


async def until_waiting(server: Server, count: int) -> None:
    async with asyncio.timeout(5):
        while server._admit.waiting != count:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.002)


@asynccontextmanager
async def full(handler: Waiting, chosen: dict[str, Any], **sections: Any) -> AsyncIterator[World]:
    """A server with one place, which is taken."""
    async with serving(build(handler, settings({"max_in_flight": 1, **PATIENT, **chosen}, **sections))) as world:
        metadata = bearer("zoe") if sections else None
        first = asyncio.ensure_future(world.generation.Generate(QUESTION, metadata=metadata))
        await handler.entered.wait()
        yield world
        handler.go.set()
        await first


def asked(world: World, name: str = "") -> asyncio.Future[Any]:
    answer: asyncio.Future[Any] = asyncio.ensure_future(
        world.generation.Generate(QUESTION, metadata=bearer(name) if name else None)
    )
    return answer


async def test_a_call_that_finds_no_place_waits_for_one() -> None:
    handler = Waiting()
    async with full(handler, {}) as world:
        second = asked(world)
        await until_waiting(world.server, 1)
        handler.go.set()
        answer = await second

    assert answer.message.parts[0].text == "Hello"


async def test_the_probe_answers_while_the_server_and_its_queue_are_full() -> None:
    handler = Waiting()
    async with full(handler, {"queue_length": 1}) as world:
        second = asked(world)
        await until_waiting(world.server, 1)
        seen = await refusal(world.generation.StreamGenerate(STREAMED))
        probe = await HealthStub(world.channel).Check(HealthCheckRequest(service="readiness"))
        watch = HealthStub(world.channel).Watch(HealthCheckRequest(service="readiness"))
        watched = await watch.read()
        watch.cancel()
        handler.go.set()
        await second

    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert seen.trailers["grpc-retry-pushback-ms"] == "1000"
    assert seen.detail(error_details_pb2.RetryInfo).retry_delay.seconds == 1
    assert (probe.status, watched.status) == (HealthCheckResponse.SERVING, HealthCheckResponse.SERVING)


async def test_nobody_waits_longer_than_the_operator_says() -> None:
    async with full(Waiting(), {"queue_seconds": 0.05}) as world:
        seen = await refusal(world.generation.Generate(QUESTION))

    assert seen.reason == "OVERLOADED"
    assert seen.error.details() == "The server has 1 calls under way."


async def test_a_call_that_is_cancelled_while_it_waits_leaves_the_queue_at_once() -> None:
    handler = Waiting()
    async with full(handler, {"queue_length": 1}) as world:
        waiting = world.generation.Generate(QUESTION)
        await until_waiting(world.server, 1)
        waiting.cancel()
        await until_waiting(world.server, 0)
        next_one = asked(world)
        await until_waiting(world.server, 1)
        handler.go.set()
        await next_one

    assert len(handler.calls) == 2
    assert (world.server._admit.in_flight, world.server._admit.waiting) == (0, 0)


async def test_a_caller_that_fills_the_queue_makes_way_for_another() -> None:
    handler = Waiting()
    async with full(handler, {"queue_length": 3}, callers=callers("ann", "bob", "zoe")) as world:
        greedy = [asked(world, "ann") for _ in range(3)]
        await until_waiting(world.server, 3)
        modest = asked(world, "bob")
        done, _ = await asyncio.wait(greedy, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        handler.go.set()
        answer = await modest
        outcomes = await asyncio.gather(*greedy, return_exceptions=True)

    assert (len(done), sum(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes)) == (1, 1)
    assert answer.message.parts[0].text == "Hello"


async def test_a_caller_at_its_own_limit_waits_without_holding_up_others() -> None:
    handler = Waiting()
    chosen = {"max_in_flight": 9, "max_in_flight_per_caller": 1}
    async with full(handler, chosen, callers=callers("bob", "zoe")) as world:
        same = asked(world, "zoe")
        await until_waiting(world.server, 1)
        handler.entered.clear()
        other = asked(world, "bob")
        await handler.entered.wait()
        entered = len(handler.calls)
        handler.go.set()
        await asyncio.gather(same, other)

    assert entered == 2


async def test_calls_that_wait_are_turned_away_by_a_drain() -> None:
    handler = Waiting()
    async with full(handler, {}) as world:
        waiting = asyncio.ensure_future(refusal(world.generation.Generate(QUESTION)))
        await until_waiting(world.server, 1)
        draining = asyncio.ensure_future(world.server.drain())
        seen = await waiting
        handler.go.set()
        await draining

    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert seen.error.details() == "The server is shutting down."


class NearlyOver:
    """The context of a call whose caller waits 0.05 seconds."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> float:
        return 0.05


async def test_a_call_is_told_before_its_own_deadline() -> None:
    admit, entered = Admit(1, 1, queue_length=1, queue_seconds=60.0), asyncio.Event()

    async def stay(rpc: Rpc, request: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    first = asyncio.ensure_future(admit.around(Rpc("m", NearlyOver()), None, stay))
    await entered.wait()
    with pytest.raises(Overloaded):
        await asyncio.wait_for(admit.around(Rpc("m", NearlyOver()), None, stay), 5.0)
    first.cancel()
    await asyncio.wait_for(admit.emptied(), 5.0)


@pytest.mark.skipif(not CAN_LOOK, reason="only Linux shows the sockets of a process")
async def test_small_pieces_are_sent_to_callers_without_delay() -> None:
    async with serving(build()) as world:
        await world.generation.Generate(QUESTION)

        assert sends_at_once_from(world.server.port) == [True]
