"""Texts to vectors: what travels, and what comes back as a sequence."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, InvalidRequestError, RateLimitError
from aimanager.types.usage import Usage
from aimanager.v1 import embedding_pb2, usage_pb2
from tests.support.fake_gateway.server import FakeGateway, refusal

ANSWER = embedding_pb2.EmbedResponse(
    embeddings=[embedding_pb2.Embedding(values=[0.5, 1.0]), embedding_pb2.Embedding(values=[2.0, 4.0])],
    model="openai/text-embedding-3-small",
    usage=usage_pb2.Usage(input_tokens=7, source=usage_pb2.USAGE_SOURCE_REPORTED),
    cost=usage_pb2.Cost(currency_code="USD", total_nanos=140, input_nanos=140, estimated=True),
)


@pytest.fixture(autouse=True)
def embedding(fake: FakeGateway) -> None:
    fake.will("Embed", ANSWER)


def test_texts_travel_with_all_that_is_said_of_them(fake: FakeGateway) -> None:
    with AIManager("s3cret", provider="openai", target=fake.target) as ai:
        ai.embed(
            ["a", "b"],
            model="text-embedding-3-small",
            dimensions=2,
            purpose="query",
            provider_options={"openai": {"user": "ann"}},
        )

    assert fake.received[0].request == embedding_pb2.EmbedRequest(
        model="openai/text-embedding-3-small",
        inputs=["a", "b"],
        dimensions=2,
        purpose=embedding_pb2.EMBEDDING_PURPOSE_QUERY,
        provider_options_json={"openai": '{"user": "ann"}'},
    )
    assert fake.received[0].metadata["x-provider-key-openai"] == "s3cret"


def test_one_text_is_a_list_of_one_and_the_clients_own_model_is_not_asked(fake: FakeGateway, ai: AIManager) -> None:
    ai.embed("a")

    assert fake.received[0].request == embedding_pb2.EmbedRequest(inputs=["a"])


def test_vectors_are_a_sequence_with_usage_and_cost(ai: AIManager) -> None:
    found = ai.embed(["a", "b"])

    assert len(found) == 2
    assert [list(vector) for vector in found] == [[0.5, 1.0], [2.0, 4.0]]
    assert list(found[1]) == [2.0, 4.0]
    assert found.model == "openai/text-embedding-3-small"
    assert found.usage == Usage(input_tokens=7, source="reported")
    assert (found.cost, found.currency) == (Decimal("0.00000014"), "USD")
    assert repr(found) == "Embeddings(model='openai/text-embedding-3-small', count=2)"


def test_an_unknown_price_is_no_cost(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Embed", embedding_pb2.EmbedResponse())

    assert ai.embed("a").cost is None


@pytest.mark.parametrize("purpose", ["storage", "unspecified"])
def test_an_unknown_purpose_is_refused(ai: AIManager, purpose: Any) -> None:
    with pytest.raises(InvalidRequestError, match="purpose cannot be") as caught:
        ai.embed("a", purpose=purpose)

    assert "similarity" in caught.value.solution


def test_an_unknown_keyword_names_the_nearest(ai: AIManager) -> None:
    with pytest.raises(TypeError, match="Did you mean 'dimensions'"):
        ai.embed("a", dimension=2)  # type: ignore[call-arg]


def test_a_rate_limit_is_waited_for_once(fake: FakeGateway, ai: AIManager) -> None:
    limited = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.01)
    fake.will("Embed", limited, ANSWER)
    assert len(ai.embed("a")) == 2

    fake.will("Embed", limited, limited)
    with pytest.raises(RateLimitError):
        ai.embed("a")


async def test_the_async_client_does_the_same(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    found = await async_ai.embed(["a", "b"], model="openai/text-embedding-3-small")

    assert [list(vector) for vector in found] == [[0.5, 1.0], [2.0, 4.0]]
    assert fake.received[0].request.model == "openai/text-embedding-3-small"
