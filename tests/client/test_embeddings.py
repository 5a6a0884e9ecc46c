"""Embeddings: options, vectors, usage and cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, InvalidRequestError, RateLimitError
from aimanager.types.usage import Usage
from aimanager.v1 import embedding_pb2, usage_pb2
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.server import FakeGateway

RESPONSE = embedding_pb2.EmbedResponse(
    embeddings=[embedding_pb2.Embedding(values=[0.5, 1.0]), embedding_pb2.Embedding(values=[2.0, 4.0])],
    provider="openai",
    model="text-embedding-3-small",
    usage=usage_pb2.Usage(input_tokens=7, source=usage_pb2.USAGE_SOURCE_REPORTED),
    cost=usage_pb2.Cost(currency_code="USD", total_nanos=140, input_nanos=140, estimated=True),
    cache_status=usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY,
)


@pytest.fixture(autouse=True)
def embed_response(fake: FakeGateway) -> None:
    fake.respond("Embed", RESPONSE)


def test_every_option_is_sent(fake: FakeGateway) -> None:
    with AIManager("s3cret", provider="openai", target=fake.target) as ai:
        ai.embed(
            ["a", "b"],
            model="text-embedding-3-small",
            dimensions=2,
            purpose="query",
            provider_options={"openai": {"user": "ann"}},
            idempotency_key="mine",
        )

    assert fake.received[0].request == embedding_pb2.EmbedRequest(
        model="openai/text-embedding-3-small",
        inputs=["a", "b"],
        dimensions=2,
        purpose=embedding_pb2.EMBEDDING_PURPOSE_QUERY,
        provider_options_json={"openai": '{"user": "ann"}'},
        idempotency_key="mine",
    )
    assert fake.received[0].metadata["x-provider-key-openai"] == "s3cret"


def test_str_is_a_list_of_one_and_default_model_is_not_used(fake: FakeGateway, ai: AIManager) -> None:
    ai.embed("a")

    request = fake.received[0].request
    assert request == embedding_pb2.EmbedRequest(inputs=["a"], idempotency_key=request.idempotency_key)


def test_embeddings_are_a_sequence_with_usage_and_cost(ai: AIManager) -> None:
    embeddings = ai.embed(["a", "b"])

    assert len(embeddings) == 2
    assert [list(vector) for vector in embeddings] == [[0.5, 1.0], [2.0, 4.0]]
    assert list(embeddings[1]) == [2.0, 4.0]
    assert (embeddings.provider, embeddings.model) == ("openai", "text-embedding-3-small")
    assert embeddings.cache_status == "idempotent_replay"
    assert embeddings.usage == Usage(input_tokens=7, source="reported")
    assert (embeddings.cost, embeddings.currency) == (Decimal("0.00000014"), "USD")
    assert repr(embeddings) == "Embeddings(provider='openai', model='text-embedding-3-small', count=2)"


def test_unknown_price_is_none(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Embed", embedding_pb2.EmbedResponse())

    assert ai.embed("a").cost is None
    assert ai.embed("a").cache_status == ""


@pytest.mark.parametrize("purpose", ["storage", "unspecified"])
def test_unknown_purpose_is_rejected(ai: AIManager, purpose: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"purpose must be one of document, .*similarity"):
        ai.embed("a", purpose=purpose)


def test_unknown_keyword_suggests_the_closest(ai: AIManager) -> None:
    with pytest.raises(TypeError, match="Did you mean 'dimensions'"):
        ai.embed("a", dimension=2)  # type: ignore[call-arg]


def test_rate_limit_is_retried_once(fake: FakeGateway, ai: AIManager) -> None:
    rate_limit = error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.01)
    fake.respond("Embed", rate_limit, RESPONSE)
    assert len(ai.embed("a")) == 2
    assert len({call.request.idempotency_key for call in fake.received}) == 1

    fake.respond("Embed", rate_limit, rate_limit)
    with pytest.raises(RateLimitError):
        ai.embed("a")


async def test_async_client_embeds_texts(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    embeddings = await async_ai.embed(["a", "b"], model="openai/text-embedding-3-small")

    assert [list(vector) for vector in embeddings] == [[0.5, 1.0], [2.0, 4.0]]
    assert fake.received[0].request.model == "openai/text-embedding-3-small"
