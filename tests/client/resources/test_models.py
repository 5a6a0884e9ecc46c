"""Models: list, pages and lookup."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, InvalidModelError, InvalidRequestError, Model
from aimanager.v1 import model_pb2
from tests.support.fake_gateway.catalog import ROUTED, SMALL
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.server import FakeGateway


def test_list_reads_every_page(populated: FakeGateway, ai: AIManager) -> None:
    models = ai.models.list("mock", capabilities=["streaming"], available_only=True)

    assert [model.id for model in models] == ["mock/mock-large", "mock/mock-small"]
    first_request = model_pb2.ListModelsRequest(
        page_size=500, provider="mock", capabilities=[model_pb2.CAPABILITY_STREAMING], available_only=True
    )
    assert populated.received[0].request == first_request
    assert populated.received[1].request.page_token == "2"
    assert populated.received[0].timeout < 11


def test_model_has_capabilities_limits_and_prices(populated: FakeGateway, ai: AIManager) -> None:
    model = ai.models.get("latest")

    assert populated.received[0].request.model == "latest"
    assert (model.id, model.provider, model.model) == ("mock/mock-large", "mock", "mock-large")
    assert (model.display_name, model.aliases) == ("Mock Large", ("latest",))
    assert model.capabilities == {"streaming": "native", "structured_output": "emulated", "image_input": "none"}
    assert [model.supports(name) for name in ("structured_output", "image_input", "reasoning")] == [True, False, False]
    assert (model.context_window_tokens, model.max_output_tokens) == (200_000, 8_192)
    assert model.pricing is not None
    assert (model.pricing.currency, model.pricing.input, model.pricing.output) == ("USD", Decimal("2.5"), Decimal(10))
    assert model.release_time == datetime(1970, 1, 2, tzinfo=UTC)
    assert model.retire_time is None
    assert model.available


def test_model_has_routes() -> None:
    assert (Model(ROUTED).routes, Model(SMALL).routes) == (("cheap", "smart"), ())


def test_unknown_limits_and_prices_are_none() -> None:
    model = Model(SMALL)

    assert (model.context_window_tokens, model.max_output_tokens, model.pricing) == (None, None, None)


def test_unknown_model_raises_with_the_nearest_name(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond(
        "GetModel", error_status(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", metadata={"nearest": "mock-large"})
    )

    with pytest.raises(InvalidModelError) as raised:
        ai.models.get("mock-lage")

    assert raised.value.context["nearest"] == "mock-large"


@pytest.mark.parametrize("capability", ["flying", ""])
def test_unknown_capability_is_rejected(ai: AIManager, capability: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"capabilities\[0\] must be a known capability") as rejected:
        ai.models.list(capabilities=[capability])

    assert "tool_calling" in rejected.value.solution


async def test_async_client_lists_and_gets_models(populated: FakeGateway, async_ai: AsyncAIManager) -> None:
    assert len(await async_ai.models.list()) == 2
    assert (await async_ai.models.get("latest")).id == "mock/mock-large"


def test_stubs_send_no_provider_key(populated: FakeGateway, ai: AIManager) -> None:
    response = ai.stubs.models.GetModel(model_pb2.GetModelRequest(model="x"))

    assert response.model.id == "mock/mock-large"
    assert "x-provider-key-mock" not in populated.received[0].metadata


def test_supports_takes_the_words_of_suggest_model() -> None:
    row = model_pb2.CapabilitySupport(capability=model_pb2.CAPABILITY_IMAGE_INPUT, level=model_pb2.SUPPORT_LEVEL_NATIVE)
    model = Model(model_pb2.Model(id="mock/m", capabilities=[row]))

    assert [model.supports(word) for word in ("vision", "images", "image_input", "artifacts", "tools")] == [
        True,
        True,
        True,
        True,
        False,
    ]
    with pytest.raises(InvalidRequestError, match="capability must be a known capability, got 'visoin'") as raised:
        model.supports("visoin")
    assert "vision" in raised.value.solution
