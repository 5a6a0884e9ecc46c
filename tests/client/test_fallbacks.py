"""Fallback models, stream timeouts, and the attempts of a response."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager import AIManager, AsyncAIManager, InvalidRequestError
from aimanager.options import RequestOptions
from aimanager.types.usage import Attempt, Usage
from aimanager.v1 import generation_pb2
from tests.support.fake_gateway.messages import make_response
from tests.support.fake_gateway.restarts import INTERRUPTED_ATTEMPT
from tests.support.fake_gateway.server import FakeGateway

TIMEOUTS = generation_pb2.StreamTimeouts(
    first_token_timeout=Duration(seconds=2, nanos=500_000_000), idle_timeout=Duration(seconds=30)
)
OPTIONS = RequestOptions(fallback_models=["openai/fast", "mock-small"], first_token_timeout=2.5, idle_timeout=30)


def test_fallback_models_and_timeouts_are_sent(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", **OPTIONS)
    list(ai.stream("Hi", **OPTIONS))

    for request in (fake.received[0].request, fake.received[1].request.request):
        assert request.fallback_models == ["openai/fast", "mock/mock-small"]
        assert request.stream_timeouts == TIMEOUTS


async def test_async_client_sends_fallback_models_and_timeouts(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    await async_ai.request("Hi", **OPTIONS)

    assert fake.received[0].request.fallback_models == ["openai/fast", "mock/mock-small"]
    assert fake.received[0].request.stream_timeouts == TIMEOUTS


def test_gateway_client_sends_fallback_models_unchanged(fake: FakeGateway) -> None:
    with AIManager.gateway(fake.target) as ai:
        ai.request("Hi", fallback_models=("fast", "a-route"))

    assert fake.received[0].request.fallback_models == ["fast", "a-route"]


def test_one_timeout_leaves_the_other_unset(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", idle_timeout=0.25)

    assert fake.received[0].request.stream_timeouts == generation_pb2.StreamTimeouts(
        idle_timeout=Duration(nanos=250_000_000)
    )


def test_none_leaves_options_unset(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", fallback_models=None, first_token_timeout=None, idle_timeout=None)

    assert not fake.received[0].request.HasField("stream_timeouts")
    assert not fake.received[0].request.fallback_models


@pytest.mark.parametrize("parameter", ["first_token_timeout", "idle_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e12, 1e-10, True, "10", 10**400])
def test_stream_timeout_must_be_positive(fake: FakeGateway, ai: AIManager, parameter: str, seconds: Any) -> None:
    options: Any = {parameter: seconds}

    with pytest.raises(
        InvalidRequestError, match=f"{parameter} must be (a positive number of|at most 315576000000) seconds, got"
    ):
        ai.request("Hi", **options)

    assert not fake.received


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("openai/fast", "fallback_models must be a list of names, got 'openai/fast'"),
        (["openai/fast", ""], "fallback_models[1] must not be empty"),
        (["a"] * 9, "fallback_models must have at most 8 items, got 9"),
        (["\ud800"], "fallback_models[0] must be valid UTF-8, got '\\ud800' at character 0"),
    ],
)
def test_invalid_fallback_models_are_rejected(ai: AIManager, models: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError) as rejected:
        ai.request("Hi", fallback_models=models)

    assert str(rejected.value) == message
    assert rejected.value.solution


def test_fallback_models_must_be_str(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError, match=r"fallback_models\[0\] must be a str, got int"):
        ai.request("Hi", fallback_models=[3])  # type: ignore[list-item]


def test_attempts_have_usage_and_cost(fake: FakeGateway, ai: AIManager) -> None:
    attempts = [
        INTERRUPTED_ATTEMPT,
        generation_pb2.Attempt(provider="mock", model="mock-large", duration=Duration(seconds=1)),
    ]
    fake.respond("Generate", make_response(execution=generation_pb2.Execution(attempts=attempts)))

    response = ai.request("Hi")

    usage = Usage(input_tokens=3, output_tokens=9, source="estimated")
    assert response.attempts == response.metadata.attempts
    assert response.attempts == (
        Attempt("mock", "mock-small", "PROVIDER_TIMEOUT", None, usage, Decimal("0.001"), "USD"),
        Attempt("mock", "mock-large", "", 1.0),
    )
    assert response.cost == Decimal("0.0025")
