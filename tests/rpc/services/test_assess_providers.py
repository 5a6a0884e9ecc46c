"""AssessProviders over a real socket."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import health_pb2
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.telemetry.model_stats import Quality
from tests.support.calls import FakeClock
from tests.support.rpc import build, serving
from tests.support.rpc_errors import refusal
from tests.support.rpc_health import Strict

ALL = health_pb2.AssessProvidersRequest()


def price(provider: str, model: str, usage: Usage) -> Cost | None:
    """Claude costs twice what OpenAI does; of others nobody knows."""
    each = {"claude": 2, "openai": 1}.get(provider)
    return None if each is None else Cost(each * usage.input_tokens, each * usage.output_tokens)


def used() -> Quality:
    """An hour in which Claude failed once in four."""
    quality = Quality(FakeClock())
    for _ in range(3):
        quality.answered("claude", "opus", 2.0, 1.0, 40)
        quality.answered("openai", "gpt", 1.0, 0.5, 40)
    quality.failed("claude", "opus")
    quality.conformed("claude", "opus", True)
    return quality


async def test_providers_are_told_the_best_first_with_their_scores_and_figures() -> None:
    server = build(health=Strict("claude", "mock", "openai"), quality=used(), price=price)
    async with serving(server) as world:
        answer = await world.health.AssessProviders(ALL)

    openai, claude, mock = answer.providers
    assert (openai.provider, openai.overall, openai.availability, openai.speed, openai.economy) == (
        "openai",
        1,
        1,
        1,
        1,
    )
    assert (claude.sample_count, claude.availability, claude.speed, claude.economy) == (4, 0.75, 0.5, 0.5)
    assert "fails 25 % of its calls" in claude.findings
    assert claude.models[0] == health_pb2.ModelQuality(
        model="opus",
        sample_count=4,
        success_rate=0.75,
        latency_p50=Duration(seconds=2),
        latency_p95=Duration(seconds=2),
        time_to_first_token_p50=Duration(seconds=1),
        time_to_first_token_p95=Duration(seconds=1),
        output_tokens_per_second=40.0,
        conformance=1.0,
    )
    assert mock == health_pb2.ProviderQuality(provider="mock", findings=["was not asked in this window"])


async def test_what_is_not_known_is_unset() -> None:
    quality = Quality(FakeClock())
    quality.failed("mock", "mock-large")
    async with serving(build(health=Strict("mock"), quality=quality)) as world:
        answer = await world.health.AssessProviders(ALL)

    (mock,) = answer.providers
    assert [name for name in ("speed", "economy", "conformance") if mock.HasField(name)] == []
    assert (mock.HasField("availability"), mock.availability) == (True, 0.0)
    assert not mock.models[0].HasField("latency_p50")


async def test_only_the_providers_named_are_assessed_each_once() -> None:
    asked = health_pb2.AssessProvidersRequest(providers=["claude", "claude"])
    async with serving(build(health=Strict("claude", "openai"), quality=used())) as world:
        answer = await world.health.AssessProviders(asked)

    assert [(one.provider, one.speed) for one in answer.providers] == [("claude", 1.0)]


async def test_a_window_leaves_out_what_was_before() -> None:
    clock = FakeClock()
    quality = Quality(clock)
    quality.failed("mock", "mock-large")
    clock.advance(61)
    quality.answered("mock", "mock-large", 1.0, None, 0)
    asked = health_pb2.AssessProvidersRequest(window=Duration(seconds=60))
    async with serving(build(health=Strict("mock"), quality=quality)) as world:
        answer = await world.health.AssessProviders(asked)

    assert answer.providers[0].availability == 1.0


async def test_an_unknown_provider_is_not_found() -> None:
    asked = health_pb2.AssessProvidersRequest(providers=["nobody"])
    async with serving(build(health=Strict("mock"))) as world:
        seen = await refusal(world.health.AssessProviders(asked))

    assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND")


@pytest.mark.parametrize("window", [Duration(), Duration(seconds=-60), Duration(seconds=3600, nanos=1)])
async def test_a_window_of_nothing_or_of_more_than_an_hour_is_refused(window: Duration) -> None:
    async with serving(build(health=Strict("mock"))) as world:
        seen = await refusal(world.health.AssessProviders(health_pb2.AssessProvidersRequest(window=window)))

    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 3600 s" in seen.fields["window"]
