"""Callers without a name cannot guess the key of another caller's stored response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.rpc import bearer, callers
from tests.support.rpc_operations import RunningGateway, running_gateway, sync_failure_of

HI = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")])
UUID = "2f6c1f9e-58a7-4ad1-9d0e-6f5a2a3f7c11"


@pytest.fixture(scope="module")
def anonymous() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


def stream(gateway: RunningGateway, key: str) -> list[Any]:
    request = generation_pb2.GenerateRequest(model="mock/latest", messages=[HI], idempotency_key=key)
    stub = GenerationServiceStub(gateway.channel)
    return list(stub.StreamGenerate(generation_pb2.StreamGenerateRequest(request=request), timeout=10))


def test_a_guessable_key_of_a_caller_without_a_name_is_rejected(anonymous: RunningGateway) -> None:
    failures = {
        "idempotency_key": sync_failure_of(lambda: anonymous.generate("Hi", idempotency_key="order-4711")),
        "request.idempotency_key": sync_failure_of(lambda: stream(anonymous, "order-4711")),
    }
    embed = sync_failure_of(lambda: anonymous.embed("a", idempotency_key="order-4711"))

    assert {path: list(failure.fields) for path, failure in failures.items()} == {path: [path] for path in failures}
    assert embed.reason == "INVALID_FIELD"
    assert embed.fields == {
        "idempotency_key": "must have at least 32 hexadecimal or 22 base64url characters, all random, for a caller "
        "without a name, since all such callers share the stored responses; send a UUID, or a gateway token"
    }


@pytest.mark.parametrize("key", ["2f6c1f9e58a74ad19d0e6f5a2a3f7c11", UUID, "aZ09_-aZ09_-aZ09_-aZ09"])
def test_a_random_key_of_a_caller_without_a_name_is_accepted(anonymous: RunningGateway, key: str) -> None:
    assert anonymous.generate("Hi", idempotency_key=key).message.parts
    assert stream(anonymous, f"{key}0")
    assert anonymous.embed("a", idempotency_key=key).embeddings


def test_a_caller_with_a_name_may_use_any_key() -> None:
    with running_gateway(callers=callers("ann")) as gateway:
        stub = GenerationServiceStub(gateway.channel)
        request = generation_pb2.GenerateRequest(model="mock/latest", messages=[HI], idempotency_key="order-4711")

        assert stub.Generate(request, metadata=bearer("ann"), timeout=10).message.parts
