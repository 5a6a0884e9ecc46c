"""GetMetricsSummary over a real socket."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import health_pb2, usage_pb2
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.telemetry.usage_stats import Sums
from tests.support.calls import FakeClock
from tests.support.rpc import QUESTION, Waiting, build, serving
from tests.support.rpc_errors import refusal
from tests.support.rpc_health import Strict

LAST_HOUR = health_pb2.GetMetricsSummaryRequest()


def begun(clock: FakeClock) -> Sums:
    """The books of a server that began when it was a thousand seconds past 1970."""
    return Sums(clock, clock, lambda provider, model: True)


async def test_calls_tokens_and_money_are_summed_up() -> None:
    clock = FakeClock()
    sums = begun(clock)
    sums.ended("claude", "opus", "", fell_back=True, latency=2.0, first_token=0.5)
    sums.ended("claude", "opus", "CANCELLED", fell_back=False, latency=None, first_token=None)
    sums.spent("openai", "gpt", Usage(30, 20), Cost(3, 4))
    clock.advance(90)
    async with serving(build(health=Strict("claude", "openai"), sums=sums)) as world:
        answer = await world.health.GetMetricsSummary(LAST_HOUR)

    claude, openai = answer.rows
    assert (answer.start_time, answer.end_time) == (Timestamp(seconds=1000), Timestamp(seconds=1090))
    assert (answer.uptime, answer.requests_in_flight) == (Duration(seconds=90), 0)
    assert (claude.provider, claude.model, claude.requests, claude.failures, claude.fallbacks) == (
        "claude", "opus", 2, 1, 1,
    )  # fmt: skip
    assert dict(claude.failures_by_reason) == {"CANCELLED": 1}
    assert claude.latency_p50.ToNanoseconds() == pytest.approx(2e9, rel=0.05)
    assert claude.time_to_first_token_p50.ToNanoseconds() == pytest.approx(0.5e9, rel=0.05)
    assert not claude.HasField("cost")
    assert openai == health_pb2.MetricsRow(
        provider="openai",
        model="gpt",
        input_tokens=30,
        output_tokens=20,
        cost=usage_pb2.Cost(currency_code="USD", total_nanos=7, input_nanos=3, output_nanos=4, estimated=True),
    )
    assert (answer.total.provider, answer.total.model, answer.total.requests) == ("", "", 2)
    assert (answer.total.input_tokens, answer.total.cost.total_nanos) == (30, 7)


async def test_a_window_begins_with_the_minute_it_falls_into() -> None:
    clock = FakeClock()
    sums = begun(clock)
    for _ in range(4):
        sums.spent("claude", "opus", Usage(1, 0), None)
        clock.advance(60)
    asked = health_pb2.GetMetricsSummaryRequest(window=Duration(seconds=90))
    async with serving(build(health=Strict("claude"), sums=sums)) as world:
        answer = await world.health.GetMetricsSummary(asked)

    assert answer.start_time == Timestamp(seconds=1120)
    assert answer.total.input_tokens == 2


async def test_calls_under_way_are_counted_without_the_question_itself() -> None:
    waiting = Waiting()
    async with serving(build(waiting)) as world:
        call = asyncio.ensure_future(world.generation.Generate(QUESTION))
        await waiting.entered.wait()
        during = await world.health.GetMetricsSummary(LAST_HOUR)
        waiting.go.set()
        await call

    assert during.requests_in_flight == 1


async def test_an_unknown_provider_is_not_found_and_a_model_never_used_has_no_rows() -> None:
    sums = begun(FakeClock())
    sums.spent("claude", "opus", Usage(1, 0), None)
    async with serving(build(health=Strict("claude"), sums=sums)) as world:
        unknown = health_pb2.GetMetricsSummaryRequest(provider="nobody")
        seen = await refusal(world.health.GetMetricsSummary(unknown))
        unused = await world.health.GetMetricsSummary(health_pb2.GetMetricsSummaryRequest(model="haiku"))
        used = await world.health.GetMetricsSummary(
            health_pb2.GetMetricsSummaryRequest(provider="claude", model="opus")
        )

    assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND")
    assert (len(unused.rows), unused.total) == (0, health_pb2.MetricsRow())
    assert [row.model for row in used.rows] == ["opus"]


@pytest.mark.parametrize("window", [Duration(), Duration(seconds=-60), Duration(seconds=86_401)])
async def test_a_window_of_nothing_or_of_more_than_a_day_is_refused(window: Duration) -> None:
    async with serving(build()) as world:
        seen = await refusal(world.health.GetMetricsSummary(health_pb2.GetMetricsSummaryRequest(window=window)))

    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 86400 s" in seen.fields["window"]


async def test_a_whole_day_may_be_asked_for() -> None:
    asked = health_pb2.GetMetricsSummaryRequest(window=Duration(seconds=86_400))
    async with serving(build()) as world:
        answer = await world.health.GetMetricsSummary(asked)

    assert answer.start_time.seconds > 0
