"""Embed through a whole gateway, over real sockets to fake providers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from aimanager.v1 import embedding_pb2, usage_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from tests.support.rpc_operations import World, question, refused, world


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with world() as one:
        yield one


@pytest.mark.parametrize(
    ("model", "most"), [("openai/text-embedding-3-small", 2048), ("gemini/gemini-embedding-001", 100)]
)
def test_texts_become_vectors_in_order_and_batches(shared: World, model: str, most: int) -> None:
    count = most + 50
    shared.provider.paths.clear()

    answer = shared.embed(*("x" * (number % 7 + 1) for number in range(count)), model=model)

    assert [vector.values[0] for vector in answer.embeddings] == [float(number % 7 + 1) for number in range(count)]
    assert len(shared.provider.paths) == 2
    assert answer.model == model


def test_usage_and_cost_are_of_all_batches_together(shared: World) -> None:
    reported = shared.embed(*(["x"] * 4000))
    estimated = shared.embed("x" * 400, "y", model="gemini/gemini-embedding-001")

    assert (reported.usage.input_tokens, reported.usage.source) == (4000, usage_pb2.USAGE_SOURCE_REPORTED)
    assert (reported.cost.total_nanos, reported.cost.currency_code) == (4000 * 20, "USD")
    assert (estimated.usage.input_tokens, estimated.usage.source) == (101, usage_pb2.USAGE_SOURCE_ESTIMATED)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": ["a", ""]}, "inputs[1]"),
        ({"inputs": ["a\0"]}, "inputs[0]"),
        ({"inputs": ["a"], "purpose": 99}, "purpose"),
        ({"inputs": ["a"], "dimensions": 0}, "dimensions"),
        ({"inputs": ["a"], "provider_options_json": {"openai": "5"}}, 'provider_options_json["openai"]'),
        ({"inputs": ["a"] * 10_001}, "inputs"),
    ],
)
def test_what_cannot_be_embedded_is_named(shared: World, request_: dict[str, Any], field: str) -> None:
    inputs = request_.pop("inputs")

    seen = refused(lambda: shared.embed(*inputs, **request_))

    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(seen.fields) == [field]


def test_a_provider_without_vectors_says_who_makes_them(shared: World) -> None:
    seen = refused(lambda: shared.embed("a", model="claude/latest"))

    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CAPABILITY_UNSUPPORTED")
    assert "openai/text-embedding-3-large" in seen.metadata["models"]


def test_a_model_that_makes_vectors_does_not_answer(shared: World) -> None:
    seen = refused(lambda: shared.models.CountTokens(question("openai/text-embedding-3-small"), timeout=10))

    assert seen.reason == "CAPABILITY_UNSUPPORTED"


def test_strangers_and_callers_above_their_limits_get_no_vectors() -> None:
    caller = {"token_sha256": hashlib.sha256(b"t").hexdigest(), "tier": "free"}
    tiers = {"free": {"requests_per_minute": 1}}
    with world(callers={"ann": caller}, tiers=tiers) as guarded:
        stub = EmbeddingServiceStub(guarded.channel)
        request = embedding_pb2.EmbedRequest(model="mock/mock-embedding", inputs=["a"])
        known = (("authorization", "Bearer t"),)
        stranger = refused(lambda: stub.Embed(request, timeout=10))
        answer = stub.Embed(request, metadata=known, timeout=10)
        limited = refused(lambda: stub.Embed(request, metadata=known, timeout=10))

    assert (stranger.reason, len(answer.embeddings), limited.reason) == ("API_KEY_INVALID", 1, "RATE_LIMITED")
