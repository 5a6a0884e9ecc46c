"""AssessProviders over a real socket."""

from __future__ import annotations

import grpc
from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import quality_pb2
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.telemetry.model_stats import ModelStats
from tests.support.clock import FakeClock
from tests.support.rpc import build_server, running
from tests.support.rpc_errors import failure_of
from tests.support.rpc_health import FakeProviderHealth

ALL_PROVIDERS = quality_pb2.AssessProvidersRequest()


def cost_of(provider: str, model: str, usage: Usage) -> Cost | None:
    """Claude costs twice as much as OpenAI; other prices are unknown."""
    nanos = {"claude": 2, "openai": 1}.get(provider)
    return None if nanos is None else Cost(nanos * usage.input_tokens, nanos * usage.output_tokens)


def an_hour_of_traffic() -> ModelStats:
    """Three successes of each provider, and one failure of Claude."""
    stats = ModelStats(FakeClock())
    for _ in range(3):
        stats.record_success("claude", "opus", 2.0, 1.0, 40)
        stats.record_success("openai", "gpt", 1.0, 0.5, 40)
    stats.record_failure("claude", "opus")
    stats.record_validation("claude", "opus", True)
    return stats


async def test_providers_are_returned_best_first_with_scores_and_model_statistics() -> None:
    health = FakeProviderHealth("claude", "mock", "openai")
    server = build_server(health=health, model_stats=an_hour_of_traffic(), cost_of=cost_of)
    async with running(server) as gateway:
        response = await gateway.quality.AssessProviders(ALL_PROVIDERS)

    openai, claude, mock = response.providers
    assert openai.provider == "openai"
    assert (openai.overall, openai.availability, openai.speed, openai.economy) == (1, 1, 1, 1)
    assert (claude.sample_count, claude.availability, claude.speed, claude.economy) == (4, 0.75, 0.5, 0.5)
    assert "25% of attempts failed" in claude.findings
    assert claude.models[0] == quality_pb2.ModelQuality(
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
    assert (mock.provider, mock.sample_count, len(mock.findings)) == ("mock", 0, 1)


async def test_unknown_values_are_unset() -> None:
    stats = ModelStats(FakeClock())
    stats.record_failure("mock", "mock-large")
    async with running(build_server(health=FakeProviderHealth("mock"), model_stats=stats)) as gateway:
        response = await gateway.quality.AssessProviders(ALL_PROVIDERS)

    (mock,) = response.providers
    assert [name for name in ("speed", "economy", "conformance") if mock.HasField(name)] == []
    assert (mock.HasField("availability"), mock.availability) == (True, 0.0)
    assert not mock.models[0].HasField("latency_p50")


async def test_only_the_requested_providers_are_assessed_once_each() -> None:
    request = quality_pb2.AssessProvidersRequest(providers=["claude", "claude"])
    server = build_server(health=FakeProviderHealth("claude", "openai"), model_stats=an_hour_of_traffic())
    async with running(server) as gateway:
        response = await gateway.quality.AssessProviders(request)

    assert [(one.provider, one.speed) for one in response.providers] == [("claude", 1.0)]


async def test_samples_before_the_window_are_ignored() -> None:
    clock = FakeClock()
    stats = ModelStats(clock)
    stats.record_failure("mock", "mock-large")
    clock.advance(61)
    stats.record_success("mock", "mock-large", 1.0, None, 0)
    request = quality_pb2.AssessProvidersRequest(window=Duration(seconds=60))
    async with running(build_server(health=FakeProviderHealth("mock"), model_stats=stats)) as gateway:
        response = await gateway.quality.AssessProviders(request)

    assert response.providers[0].availability == 1.0


async def test_an_unknown_provider_is_not_found() -> None:
    request = quality_pb2.AssessProvidersRequest(providers=["nobody"])
    async with running(build_server(health=FakeProviderHealth("mock"))) as gateway:
        failure = await failure_of(gateway.quality.AssessProviders(request))

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND")


async def test_a_window_must_be_positive_and_at_most_an_hour() -> None:
    windows = [Duration(), Duration(seconds=-60), Duration(seconds=3600, nanos=1)]
    async with running(build_server(health=FakeProviderHealth("mock"))) as gateway:
        failures = [
            await failure_of(gateway.quality.AssessProviders(quality_pb2.AssessProvidersRequest(window=window)))
            for window in windows
        ]

    assert {failure.code for failure in failures} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert all("at most 3600 s" in failure.fields["window"] for failure in failures)
