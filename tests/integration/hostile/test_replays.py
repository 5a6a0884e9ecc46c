"""A stored response is replayed only for the request that it answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aimanager.v1 import usage_pb2
from tests.support.rpc_operations import RunningGateway, running_gateway, sync_failure_of

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"sampling": {"seed": -1}}, {"sampling": {"seed": -2}}),
        ({"sampling": {"temperature": 1.0}}, {"sampling": {"top_p": 1.0}}),
        ({"sampling": {"stop_sequences": ["a", "b"]}}, {"sampling": {"stop_sequences": ["ab"]}}),
    ],
)
def test_a_key_is_bound_to_every_detail_of_the_request(
    gateway: RunningGateway, first: dict[str, Any], second: dict[str, Any]
) -> None:
    key = f"{KEY}{abs(hash(str(first))):x}"

    answer = gateway.generate("Hi", idempotency_key=key, **first)
    replay = gateway.generate("Hi", idempotency_key=key, **first)
    failure = sync_failure_of(lambda: gateway.generate("Hi", idempotency_key=key, **second))

    assert answer.cache_status == usage_pb2.CACHE_STATUS_MISS
    assert replay.cache_status == usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY
    assert failure.fields == {"idempotency_key": "was already used for a different request"}


def test_a_key_of_embeddings_is_bound_to_the_type_of_an_option(gateway: RunningGateway) -> None:
    gateway.embed("a", idempotency_key=KEY, provider_options_json={"openai": '{"user": -1}'})

    failure = sync_failure_of(
        lambda: gateway.embed("a", idempotency_key=KEY, provider_options_json={"openai": '{"user": -2}'})
    )

    assert list(failure.fields) == ["idempotency_key"]
