"""Embed through a complete gateway, over real sockets to a fake provider server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest

from aimanager.v1 import embedding_pb2, usage_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from tests.support.rpc_operations import RunningGateway, running_gateway, sync_failure_of
from tests.support.tokens import bearer, callers


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


@pytest.mark.parametrize(
    ("model", "batch_size"), [("openai/text-embedding-3-small", 2048), ("gemini/gemini-embedding-001", 100)]
)
def test_inputs_are_embedded_in_batches_and_in_order(gateway: RunningGateway, model: str, batch_size: int) -> None:
    count = batch_size + 50
    gateway.upstream.paths.clear()

    response = gateway.embed(*("x" * (number % 7 + 1) for number in range(count)), model=model)

    assert [vector.values[0] for vector in response.embeddings] == [float(number % 7 + 1) for number in range(count)]
    assert len(gateway.upstream.paths) == 2
    assert f"{response.provider}/{response.model}" == model


def test_usage_and_cost_are_totals_of_all_batches(gateway: RunningGateway) -> None:
    reported = gateway.embed(*(["x"] * 4000))
    estimated = gateway.embed("x" * 400, "y", model="gemini/gemini-embedding-001")

    assert (reported.usage.input_tokens, reported.usage.source) == (4000, usage_pb2.USAGE_SOURCE_REPORTED)
    assert (reported.cost.total_nanos, reported.cost.currency_code) == (4000 * 20, "USD")
    assert (estimated.usage.input_tokens, estimated.usage.source) == (101, usage_pb2.USAGE_SOURCE_ESTIMATED)


def test_a_repeated_idempotency_key_returns_the_first_vectors(gateway: RunningGateway) -> None:
    gateway.upstream.paths.clear()

    first, repeated = (gateway.embed("x", "yy", idempotency_key="once-0123456789-0123456789") for _ in range(2))
    other_key = gateway.embed("x", "yy", idempotency_key="twice-0123456789-0123456789")
    reused = sync_failure_of(lambda: gateway.embed("z", idempotency_key="once-0123456789-0123456789"))

    assert len(gateway.upstream.paths) == 2
    assert (first.cache_status, other_key.cache_status) == (usage_pb2.CACHE_STATUS_MISS, usage_pb2.CACHE_STATUS_MISS)
    assert repeated.cache_status == usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY
    assert (repeated.embeddings, repeated.usage, repeated.cost) == (first.embeddings, first.usage, first.cost)
    assert (reused.code, list(reused.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["idempotency_key"])


def test_an_invalid_field_is_named(gateway: RunningGateway) -> None:
    invalid: list[tuple[str, dict[str, Any]]] = [
        ("inputs", {"inputs": []}),
        ("inputs[1]", {"inputs": ["a", ""]}),
        ("inputs[0]", {"inputs": ["a\0"]}),
        ("purpose", {"inputs": ["a"], "purpose": 99}),
        ("dimensions", {"inputs": ["a"], "dimensions": 0}),
        ('provider_options_json["openai"]', {"inputs": ["a"], "provider_options_json": {"openai": "5"}}),
        ("inputs", {"inputs": ["a"] * 10_001}),
    ]

    failures = [sync_failure_of(partial(gateway.embed, *fields.pop("inputs"), **fields)) for _, fields in invalid]

    assert {failure.code for failure in failures} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert [list(failure.fields) for failure in failures] == [[path] for path, _ in invalid]


def test_a_provider_without_embeddings_names_models_that_have_them(gateway: RunningGateway) -> None:
    failure = sync_failure_of(lambda: gateway.embed("a", model="claude/latest"))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CAPABILITY_UNSUPPORTED")
    assert "openai/text-embedding-3-large" in failure.metadata["models"]


def test_an_embedding_model_does_not_generate(gateway: RunningGateway) -> None:
    failure = sync_failure_of(lambda: gateway.count_tokens("openai/text-embedding-3-small"))

    assert failure.reason == "CAPABILITY_UNSUPPORTED"


def test_embed_requires_a_token_and_counts_against_the_quota() -> None:
    tiers = {"free": {"requests_per_minute": 1}}
    with running_gateway(callers=callers("ann"), tiers=tiers) as gateway:
        stub = EmbeddingServiceStub(gateway.channel)
        request = embedding_pb2.EmbedRequest(model="mock/mock-embedding", inputs=["a"])
        anonymous = sync_failure_of(lambda: stub.Embed(request, timeout=10))
        response = stub.Embed(request, metadata=bearer("ann"), timeout=10)
        limited = sync_failure_of(lambda: stub.Embed(request, metadata=bearer("ann"), timeout=10))

    assert (anonymous.reason, len(response.embeddings), limited.reason) == ("API_KEY_INVALID", 1, "RATE_LIMITED")
