"""GetMetricsSummary over a real socket."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import metrics_pb2, usage_pb2
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.telemetry.usage_stats import UsageStats
from tests.support.clock import FakeClock
from tests.support.rpc import REQUEST, BlockingHandler, build_server, running
from tests.support.rpc_errors import failure_of
from tests.support.rpc_health import FakeProviderHealth

LAST_HOUR = metrics_pb2.GetMetricsSummaryRequest()


def usage_stats_since(clock: FakeClock) -> UsageStats:
    """Statistics of a server that started 1000 s after the Unix epoch."""
    return UsageStats(clock, clock, lambda provider, model: True)


async def test_requests_tokens_and_cost_are_totaled() -> None:
    clock = FakeClock()
    usage_stats = usage_stats_since(clock)
    usage_stats.of("").record_call("claude", "opus", "", used_fallback=True, latency=2.0, time_to_first_token=0.5)
    usage_stats.of("").record_call(
        "claude", "opus", "CANCELLED", used_fallback=False, latency=None, time_to_first_token=None
    )
    usage_stats.of("").record_usage("openai", "gpt", Usage(30, 20), Cost(3, 4))
    clock.advance(90)
    async with running(build_server(health=FakeProviderHealth("claude", "openai"), usage_stats=usage_stats)) as gateway:
        response = await gateway.metrics.GetMetricsSummary(LAST_HOUR)

    claude, openai = response.rows
    assert (response.start_time, response.end_time) == (Timestamp(seconds=1000), Timestamp(seconds=1090))
    assert (response.uptime, response.requests_in_flight) == (Duration(seconds=90), 0)
    assert (claude.provider, claude.model, claude.requests, claude.failures, claude.fallbacks) == (
        "claude", "opus", 2, 1, 1,
    )  # fmt: skip
    assert dict(claude.failures_by_reason) == {"CANCELLED": 1}
    assert claude.latency_p50.ToNanoseconds() == pytest.approx(2e9, rel=0.05)
    assert claude.time_to_first_token_p50.ToNanoseconds() == pytest.approx(0.5e9, rel=0.05)
    assert not claude.HasField("cost")
    assert openai == metrics_pb2.MetricsRow(
        provider="openai",
        model="gpt",
        input_tokens=30,
        output_tokens=20,
        cost=usage_pb2.Cost(currency_code="USD", total_nanos=7, input_nanos=3, output_nanos=4, estimated=True),
    )
    assert (response.total.provider, response.total.model, response.total.requests) == ("", "", 2)
    assert (response.total.input_tokens, response.total.cost.total_nanos) == (30, 7)


async def test_a_window_starts_at_a_full_minute() -> None:
    clock = FakeClock()
    usage_stats = usage_stats_since(clock)
    for _ in range(4):
        usage_stats.of("").record_usage("claude", "opus", Usage(1, 0), None)
        clock.advance(60)
    request = metrics_pb2.GetMetricsSummaryRequest(window=Duration(seconds=90))
    async with running(build_server(health=FakeProviderHealth("claude"), usage_stats=usage_stats)) as gateway:
        response = await gateway.metrics.GetMetricsSummary(request)

    assert response.start_time == Timestamp(seconds=1120)
    assert response.total.input_tokens == 2


async def test_calls_in_flight_exclude_the_summary_call_itself() -> None:
    handler = BlockingHandler()
    async with running(build_server(handler)) as gateway:
        call = asyncio.ensure_future(gateway.generation.Generate(REQUEST))
        await handler.entered.wait()
        during = await gateway.metrics.GetMetricsSummary(LAST_HOUR)
        handler.release.set()
        await call

    assert during.requests_in_flight == 1


async def test_an_unknown_provider_is_not_found_and_an_unused_model_has_no_rows() -> None:
    usage_stats = usage_stats_since(FakeClock())
    usage_stats.of("").record_usage("claude", "opus", Usage(1, 0), None)
    async with running(build_server(health=FakeProviderHealth("claude"), usage_stats=usage_stats)) as gateway:
        unknown = metrics_pb2.GetMetricsSummaryRequest(provider="nobody")
        failure = await failure_of(gateway.metrics.GetMetricsSummary(unknown))
        unused = await gateway.metrics.GetMetricsSummary(metrics_pb2.GetMetricsSummaryRequest(model="haiku"))
        used = await gateway.metrics.GetMetricsSummary(
            metrics_pb2.GetMetricsSummaryRequest(provider="claude", model="opus")
        )

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND")
    assert (len(unused.rows), unused.total) == (0, metrics_pb2.MetricsRow())
    assert [row.model for row in used.rows] == ["opus"]


@pytest.mark.parametrize("window", [Duration(), Duration(seconds=-60), Duration(seconds=86_401)])
async def test_a_window_must_be_positive_and_at_most_a_day(window: Duration) -> None:
    async with running(build_server()) as gateway:
        failure = await failure_of(
            gateway.metrics.GetMetricsSummary(metrics_pb2.GetMetricsSummaryRequest(window=window))
        )

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 86400 s" in failure.fields["window"]


async def test_a_window_may_be_a_whole_day() -> None:
    request = metrics_pb2.GetMetricsSummaryRequest(window=Duration(seconds=86_400))
    async with running(build_server()) as gateway:
        response = await gateway.metrics.GetMetricsSummary(request)

    assert response.start_time.seconds > 0
