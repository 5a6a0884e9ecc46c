"""ListProviderHealth and WatchProviderHealth over a real socket."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import health_pb2
from aimanager_server.resilience.circuit_breaker import CircuitState
from aimanager_server.resilience.provider_health import ProviderReport, ProviderStatus
from tests.support.rpc import REQUEST, build_server, running, server_settings
from tests.support.rpc_errors import failure_of
from tests.support.rpc_health import FakeProviderHealth

DOWN = ProviderReport(
    "claude",
    ProviderStatus.DOWN,
    CircuitState.OPEN,
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


async def test_a_report_contains_everything_known_about_a_provider() -> None:
    health = FakeProviderHealth("claude", "mock")
    health.reports["claude"] = DOWN
    async with running(build_server(health=health)) as gateway:
        response = await gateway.health.ListProviderHealth(health_pb2.ListProviderHealthRequest())

    claude, mock = response.providers
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


@pytest.mark.parametrize("status", ProviderStatus)
async def test_every_status_has_an_enum_value(status: ProviderStatus) -> None:
    health = FakeProviderHealth("mock")
    health.reports["mock"] = ProviderReport("mock", status)
    async with running(build_server(health=health)) as gateway:
        response = await gateway.health.ListProviderHealth(health_pb2.ListProviderHealthRequest())

    name = health_pb2.ProviderStatus.Name(response.providers[0].status)
    assert name == f"PROVIDER_STATUS_{status.name}"


async def test_a_probe_runs_once_per_requested_provider() -> None:
    health = FakeProviderHealth("claude", "mock", "openai")
    request = health_pb2.ListProviderHealthRequest(providers=["openai", "mock", "openai"], probe=True)
    async with running(build_server(health=health)) as gateway:
        response = await gateway.health.ListProviderHealth(request)

    assert [one.provider for one in response.providers] == ["mock", "openai"]
    assert sorted(health.probed) == ["mock", "openai"]


async def test_an_unknown_provider_is_not_found() -> None:
    list_request = health_pb2.ListProviderHealthRequest(providers=["nobody"], probe=True)
    watch_request = health_pb2.WatchProviderHealthRequest(providers=["nobody"])
    async with running(build_server(health=FakeProviderHealth("mock"))) as gateway:
        failures = [
            await failure_of(gateway.health.ListProviderHealth(list_request)),
            await failure_of(gateway.health.WatchProviderHealth(watch_request)),
        ]

    assert [failure.reason for failure in failures] == ["PROVIDER_NOT_FOUND"] * 2


async def test_a_watch_sends_the_current_state_then_each_change_until_cancelled() -> None:
    health = FakeProviderHealth("claude", "mock")
    async with running(build_server(health=health)) as gateway:
        watch = gateway.health.WatchProviderHealth(health_pb2.WatchProviderHealthRequest(providers=["claude"]))
        first = await watch.read()
        health.changes.put_nowait(DOWN)
        second = await watch.read()
        watch.cancel()
        await asyncio.wait_for(health.watch_closed.wait(), 10)

    sent = [(one.provider.provider, one.provider.status) for one in (first, second)]
    assert sent == [("claude", health_pb2.PROVIDER_STATUS_HEALTHY), ("claude", health_pb2.PROVIDER_STATUS_DOWN)]


async def test_a_watch_ends_when_the_server_shuts_down() -> None:
    health = FakeProviderHealth("mock")
    server = build_server(health=health)
    async with running(server) as gateway:
        watch = aiter(gateway.health.WatchProviderHealth(health_pb2.WatchProviderHealthRequest()))
        await anext(watch)
        draining = asyncio.ensure_future(server.drain())
        failure = await failure_of(watch)
        await asyncio.wait_for(draining, 10)

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert health.watch_closed.is_set()


async def test_watches_leave_the_slots_of_calls_free_and_have_a_limit_of_their_own() -> None:
    limits = {"max_in_flight": 1, "max_in_flight_per_caller": 1, "max_watches_per_caller": 2}
    async with running(build_server(settings=server_settings(limits))) as gateway:
        request = health_pb2.WatchProviderHealthRequest()
        watches = [aiter(gateway.health.WatchProviderHealth(request)) for _ in range(2)]
        for watch in watches:
            await anext(watch)
        third = await failure_of(gateway.health.WatchProviderHealth(request))
        response = await gateway.generation.Generate(REQUEST)

    assert (third.reason, third.message) == (
        "OVERLOADED",
        "Concurrency limit reached for this caller (2 watches open). Retry in 1 s.",
    )
    assert response.message.parts[0].text == "Hello"


async def test_a_watch_ends_after_its_lifetime() -> None:
    async with running(build_server(settings=server_settings({"watch_timeout_seconds": 0.05}))) as gateway:
        failure = await failure_of(gateway.health.WatchProviderHealth(health_pb2.WatchProviderHealthRequest()))

    assert (failure.reason, failure.message) == ("OVERLOADED", "The watch ended after 0.05 s.")
