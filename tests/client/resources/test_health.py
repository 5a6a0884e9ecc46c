"""Health: list, watch and assess."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager import AIError, AIManager, AsyncAIManager, InvalidRequestError
from aimanager.v1 import health_pb2, quality_pb2
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.metrics import ASSESSMENT
from tests.support.fake_gateway.server import FakeGateway


def test_health_has_status_circuit_and_latency(populated: FakeGateway, ai: AIManager) -> None:
    [health] = ai.health.list(["mock"], probe=True)

    assert populated.received[0].request == health_pb2.ListProviderHealthRequest(providers=["mock"], probe=True)
    assert 11 < populated.received[0].timeout < 40
    assert (health.provider, health.status, health.circuit) == ("mock", "DOWN", "open")
    assert (health.consecutive_failures, health.error_rate) == (5, 0.5)
    assert (health.latency_p50, health.latency_p95) == (0.25, None)
    assert health.retry_time == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert health.last_success_time is None
    assert health.last_failure_time == datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert (health.last_error_reason, health.solution) == ("PROVIDER_ERROR", "Wait.")


def test_list_has_a_timeout_of_10_seconds(populated: FakeGateway, ai: AIManager) -> None:
    ai.health.list()

    assert populated.received[0].timeout < 11


def test_provider_without_samples_is_unknown(fake: FakeGateway, ai: AIManager) -> None:
    statuses = (health_pb2.PROVIDER_STATUS_UNKNOWN, health_pb2.PROVIDER_STATUS_UNSPECIFIED)
    rows = [health_pb2.ProviderHealth(provider="mock", status=status) for status in statuses]
    fake.respond("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=rows))

    assert [health.status for health in ai.health.list()] == ["UNKNOWN", "UNKNOWN"]


def test_closing_a_watch_cancels_the_call(populated: FakeGateway, ai: AIManager) -> None:
    with closing(ai.health.watch()) as changes:
        statuses = [next(changes).status, next(changes).status]

    assert statuses == ["HEALTHY", "DOWN"]
    assert populated.call_ended.wait(10)


def test_failed_watch_raises(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("WatchProviderHealth", error_status(grpc.StatusCode.UNAVAILABLE, "OVERLOADED"))

    with pytest.raises(AIError):
        list(ai.health.watch())


async def test_async_client_lists_and_watches_health(populated: FakeGateway, async_ai: AsyncAIManager) -> None:
    [health] = await async_ai.health.list()
    async with aclosing(async_ai.health.watch()) as changes:
        statuses = [(await anext(changes)).status, (await anext(changes)).status]

    assert health.status == "DOWN"
    assert statuses == ["HEALTHY", "DOWN"]
    assert await asyncio.to_thread(populated.call_ended.wait, 10)


async def test_failed_async_watch_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("WatchProviderHealth", error_status(grpc.StatusCode.UNAVAILABLE, "OVERLOADED"))

    with pytest.raises(AIError):
        _ = [change async for change in async_ai.health.watch()]


def test_assessment_has_scores_and_models(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("AssessProviders", ASSESSMENT)

    best, unknown = ai.health.assess(["mock", "other"], window=60)

    assert fake.received[0].request == quality_pb2.AssessProvidersRequest(
        providers=["mock", "other"], window=Duration(seconds=60)
    )
    assert (best.provider, best.sample_count, best.overall, best.availability) == ("mock", 7, 0.75, 0.5)
    assert (best.speed, best.economy, best.conformance) == (1.0, 0.0, None)
    assert best.findings == ("Half of its attempts failed.",)
    assert (unknown.overall, unknown.models) == (None, ())
    [model] = best.models
    assert (model.model, model.sample_count, model.success_rate) == ("mock-large", 7, 0.5)
    assert (model.latency_p50, model.latency_p95) == (0.5, 2.0)
    assert (model.time_to_first_token_p50, model.time_to_first_token_p95) == (0.1, None)
    assert (model.output_tokens_per_second, model.conformance) == (42.5, 1.0)


async def test_async_client_assesses_providers(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("AssessProviders", ASSESSMENT)

    providers = await async_ai.health.assess()

    assert [quality.provider for quality in providers] == ["mock", "other"]
    assert fake.received[0].request.window == Duration(seconds=3600)


@pytest.mark.parametrize("window", [0, -1, None, "hour"])
def test_window_must_be_positive(ai: AIManager, window: Any) -> None:
    with pytest.raises(InvalidRequestError, match="window must be a positive number of seconds"):
        ai.health.assess(window=window)
