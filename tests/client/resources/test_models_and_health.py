"""Models and health: what is asked, what is read, and how the command shows it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from datetime import UTC, datetime
from decimal import Decimal

import grpc
import pytest

from aimanager import AIError, AIManager, AsyncAIManager, InvalidModelError, InvalidRequestError, Model
from aimanager.v1 import health_pb2, model_pb2
from tests.support.fake_gateway.catalog import ROUTED, SMALL
from tests.support.fake_gateway.server import FakeGateway, refusal


def test_every_page_of_models_is_read(stocked: FakeGateway, ai: AIManager) -> None:
    models = ai.models.list("mock", capabilities=["streaming"], available_only=True)

    assert [model.id for model in models] == ["mock/mock-large", "mock/mock-small"]
    asked = model_pb2.ListModelsRequest(
        page_size=500, provider="mock", capabilities=[model_pb2.CAPABILITY_STREAMING], available_only=True
    )
    assert stocked.received[0].request == asked
    assert stocked.received[1].request.page_token == "2"
    assert stocked.received[0].seconds < 11


def test_a_model_tells_what_it_can(stocked: FakeGateway, ai: AIManager) -> None:
    model = ai.models.get("latest")

    assert stocked.received[0].request.model == "latest"
    assert (model.provider, model.display_name, model.aliases) == ("mock", "Mock Large", ("latest",))
    assert model.capabilities == {"streaming": "native", "structured_output": "emulated", "image_input": "none"}
    assert [model.supports(name) for name in ("structured_output", "image_input", "reasoning")] == [True, False, False]
    assert (model.context_window_tokens, model.max_output_tokens) == (200_000, 8_192)
    assert model.pricing is not None
    assert (model.pricing.currency, model.pricing.input, model.pricing.output) == ("USD", Decimal("2.5"), Decimal(10))
    assert model.release_time == datetime(1970, 1, 2, tzinfo=UTC)
    assert model.retire_time is None
    assert model.available


def test_a_model_names_the_routes_that_lead_to_it() -> None:
    assert (Model(ROUTED).routes, Model(SMALL).routes) == (("cheap", "smart"), ())


def test_what_is_not_known_of_a_model_is_none() -> None:
    model = Model(SMALL)

    assert (model.context_window_tokens, model.max_output_tokens, model.pricing) == (None, None, None)


def test_a_missing_model_is_named(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("GetModel", refusal(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", metadata={"nearest": "mock-large"}))

    with pytest.raises(InvalidModelError) as raised:
        ai.models.get("mock-lage")

    assert raised.value.context == {"nearest": "mock-large"}


@pytest.mark.parametrize("capability", ["flying", ""])
def test_an_unknown_capability_is_refused(ai: AIManager, capability: str) -> None:
    with pytest.raises(InvalidRequestError, match="no capability") as refused:
        ai.models.list(capabilities=[capability])

    assert "tool_calling" in refused.value.solution


async def test_the_async_models_are_the_same(stocked: FakeGateway, async_ai: AsyncAIManager) -> None:
    assert len(await async_ai.models.list()) == 2
    assert (await async_ai.models.get("latest")).id == "mock/mock-large"


def test_health_tells_the_state(stocked: FakeGateway, ai: AIManager) -> None:
    [health] = ai.health.list(["mock"], probe=True)

    assert stocked.received[0].request == health_pb2.ListProviderHealthRequest(providers=["mock"], probe=True)
    assert 11 < stocked.received[0].seconds < 40
    assert (health.provider, health.status, health.circuit) == ("mock", "DOWN", "open")
    assert (health.consecutive_failures, health.error_rate) == (5, 0.5)
    assert (health.latency_p50, health.latency_p95) == (0.25, None)
    assert health.retry_time == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert health.last_success_time is None
    assert health.last_failure_time == datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert (health.last_error_reason, health.solution) == ("PROVIDER_ERROR", "Wait.")


def test_reads_have_10_seconds(stocked: FakeGateway, ai: AIManager) -> None:
    ai.health.list()

    assert stocked.received[0].seconds < 11


def test_no_evidence_is_unknown(fake: FakeGateway, ai: AIManager) -> None:
    rows = [health_pb2.ProviderHealth(provider="mock")]
    fake.will("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=rows))

    assert [health.status for health in ai.health.list()] == ["UNKNOWN"]


def test_watching_yields_changes_until_it_is_left(stocked: FakeGateway, ai: AIManager) -> None:
    with closing(ai.health.watch()) as changes:
        seen = [next(changes).status, next(changes).status]

    assert seen == ["HEALTHY", "DOWN"]
    assert stocked.ended.wait(10)


def test_a_watch_that_breaks_raises(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("WatchProviderHealth", refusal(grpc.StatusCode.UNAVAILABLE, "OVERLOADED"))

    with pytest.raises(AIError):
        list(ai.health.watch())


async def test_the_async_health_is_the_same(stocked: FakeGateway, async_ai: AsyncAIManager) -> None:
    [health] = await async_ai.health.list()
    async with aclosing(async_ai.health.watch()) as changes:
        seen = [(await anext(changes)).status, (await anext(changes)).status]

    assert health.status == "DOWN"
    assert seen == ["HEALTHY", "DOWN"]
    assert await asyncio.to_thread(stocked.ended.wait, 10)


async def test_an_async_watch_that_breaks_raises(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("WatchProviderHealth", refusal(grpc.StatusCode.UNAVAILABLE, "OVERLOADED"))

    with pytest.raises(AIError):
        _ = [change async for change in async_ai.health.watch()]


def test_the_raw_stubs_are_there(stocked: FakeGateway, ai: AIManager) -> None:
    answer = ai.stubs.models.GetModel(model_pb2.GetModelRequest(model="x"))

    assert answer.model.id == "mock/mock-large"
    assert "x-provider-key-mock" not in stocked.received[0].metadata
