"""ListProviderHealth and WatchProviderHealth."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import health_pb2
from aimanager_server.telemetry.provider_stats import Circuit, Report, Status
from tests.support.rpc import build, serving
from tests.support.rpc_errors import refusal
from tests.support.rpc_health import Healthy, Strict

DOWN = Report(
    "claude",
    Status.DOWN,
    Circuit.OPEN,
    consecutive_failures=5,
    opened_at=100.5,
    retry_at=105.0,
    latency_p50=0.5,
    latency_p95=1.5,
    error_rate=0.75,
    last_success_at=90.0,
    last_failure_at=100.0,
    last_error_reason="PROVIDER_ERROR",
    solution="Wait.",
)


async def test_all_that_is_known_of_a_provider_is_told() -> None:
    health = Healthy("claude", "mock")
    health.reports["claude"] = DOWN
    async with serving(build(health=health)) as world:
        answer = await world.health.ListProviderHealth(health_pb2.ListProviderHealthRequest())

    claude, mock = answer.providers
    assert claude == health_pb2.ProviderHealth(
        provider="claude",
        status=health_pb2.PROVIDER_STATUS_DOWN,
        circuit_breaker=health_pb2.CircuitBreaker(
            state=health_pb2.CIRCUIT_STATE_OPEN,
            consecutive_failures=5,
            open_time=Timestamp(seconds=100, nanos=500_000_000),
            retry_time=Timestamp(seconds=105),
        ),
        latency_p50=Duration(nanos=500_000_000),
        latency_p95=Duration(seconds=1, nanos=500_000_000),
        error_rate=0.75,
        last_success_time=Timestamp(seconds=90),
        last_failure_time=Timestamp(seconds=100),
        last_error_reason="PROVIDER_ERROR",
        solution="Wait.",
    )
    assert not mock.HasField("latency_p50")
    assert not mock.HasField("last_success_time")


@pytest.mark.parametrize("status", Status)
async def test_every_status_has_a_word_on_the_wire(status: Status) -> None:
    health = Healthy("mock")
    health.reports["mock"] = Report("mock", status)
    async with serving(build(health=health)) as world:
        answer = await world.health.ListProviderHealth(health_pb2.ListProviderHealthRequest())

    word = health_pb2.ProviderStatus.Name(answer.providers[0].status).removeprefix("PROVIDER_STATUS_")
    assert word == ("UNSPECIFIED" if status is Status.UNKNOWN else status.name)


async def test_a_probe_asks_each_named_provider_once() -> None:
    health = Healthy("claude", "mock", "openai")
    request = health_pb2.ListProviderHealthRequest(providers=["openai", "mock", "openai"], probe=True)
    async with serving(build(health=health)) as world:
        answer = await world.health.ListProviderHealth(request)

    assert [one.provider for one in answer.providers] == ["mock", "openai"]
    assert sorted(health.probed) == ["mock", "openai"]


async def test_an_unknown_provider_is_not_found() -> None:
    listed = health_pb2.ListProviderHealthRequest(providers=["nobody"], probe=True)
    watched = health_pb2.WatchProviderHealthRequest(providers=["nobody"])
    async with serving(build(health=Strict("mock"))) as world:
        failures = [
            await refusal(world.health.ListProviderHealth(listed)),
            await refusal(world.health.WatchProviderHealth(watched)),
        ]

    assert [seen.reason for seen in failures] == ["PROVIDER_NOT_FOUND"] * 2


async def test_a_watch_tells_the_state_now_and_each_change_until_the_client_leaves() -> None:
    health = Healthy("claude", "mock")
    async with serving(build(health=health)) as world:
        watch = world.health.WatchProviderHealth(health_pb2.WatchProviderHealthRequest(providers=["claude"]))
        first = await watch.read()
        health.changes.put_nowait(DOWN)
        second = await watch.read()
        watch.cancel()
        await asyncio.wait_for(health.left.wait(), 10)

    told = [(one.provider.provider, one.provider.status) for one in (first, second)]
    assert told == [("claude", health_pb2.PROVIDER_STATUS_HEALTHY), ("claude", health_pb2.PROVIDER_STATUS_DOWN)]


async def test_a_watch_ends_when_the_server_shuts_down() -> None:
    health = Healthy("mock")
    server = build(health=health)
    async with serving(server) as world:
        watch = aiter(world.health.WatchProviderHealth(health_pb2.WatchProviderHealthRequest()))
        await anext(watch)
        draining = asyncio.ensure_future(server.drain())
        seen = await refusal(watch)
        await asyncio.wait_for(draining, 10)

    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert health.left.is_set()
