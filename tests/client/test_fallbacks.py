"""Other models where one fails: what is asked for, how long is waited, and what each try took."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager import AIManager, AsyncAIManager, InvalidRequestError
from aimanager.options import RequestOptions
from aimanager.types.usage import Attempt, Usage
from aimanager.v1 import generation_pb2
from tests.support.fake_gateway.restarts import CUT_OFF
from tests.support.fake_gateway.server import FakeGateway, answer

PATIENCE = generation_pb2.Patience(first_token=Duration(seconds=2, nanos=500_000_000), idle=Duration(seconds=30))
OPTIONS = RequestOptions(fallback_models=["openai/fast", "mock-small"], first_token_timeout=2.5, idle_timeout=30)


def test_fallbacks_and_patience_travel(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", **OPTIONS)
    list(ai.stream("Hi", **OPTIONS))

    for request in (fake.received[0].request, fake.received[1].request.request):
        assert request.fallback_models == ["openai/fast", "mock/mock-small"]
        assert request.patience == PATIENCE


async def test_fallbacks_and_patience_travel_from_the_async_client(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    await async_ai.request("Hi", **OPTIONS)

    assert fake.received[0].request.fallback_models == ["openai/fast", "mock/mock-small"]
    assert fake.received[0].request.patience == PATIENCE


def test_without_a_provider_of_its_own_a_client_sends_fallbacks_as_they_are(fake: FakeGateway) -> None:
    with AIManager.gateway(fake.target) as ai:
        ai.request("Hi", fallback_models=("fast", "a-route"))

    assert fake.received[0].request.fallback_models == ["fast", "a-route"]


def test_one_patience_leaves_the_other_to_the_server(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", idle_timeout=0.25)

    assert fake.received[0].request.patience == generation_pb2.Patience(idle=Duration(nanos=250_000_000))


def test_none_says_nothing(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", fallback_models=None, first_token_timeout=None, idle_timeout=None)

    assert not fake.received[0].request.HasField("patience")
    assert not fake.received[0].request.fallback_models


@pytest.mark.parametrize("keyword", ["first_token_timeout", "idle_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e12, 1e-10, True, "10", 10**400])
def test_a_patience_that_is_no_time_is_refused(fake: FakeGateway, ai: AIManager, keyword: str, seconds: Any) -> None:
    options: Any = {keyword: seconds}

    with pytest.raises(InvalidRequestError, match=f"{keyword} must be a positive number of seconds, got"):
        ai.request("Hi", **options)

    assert not fake.received


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("openai/fast", "fallback_models cannot be 'openai/fast': it is a list of names"),
        (["openai/fast", ""], "fallback_models[1] is empty"),
        (["a"] * 9, "fallback_models may name 8 models, got 9"),
        (["\ud800"], "fallback_models[0] is not UTF-8: character 0 is '\\ud800'"),
    ],
)
def test_fallbacks_that_cannot_be_asked_are_refused(ai: AIManager, models: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ai.request("Hi", fallback_models=models)

    assert str(refused.value) == said
    assert refused.value.solution


def test_fallbacks_are_names(ai: AIManager) -> None:
    with pytest.raises(TypeError, match=r"fallback_models\[0\] must be a str, not int"):
        ai.request("Hi", fallback_models=[3])  # type: ignore[list-item]


def test_each_attempt_tells_what_it_took(fake: FakeGateway, ai: AIManager) -> None:
    tried = [CUT_OFF, generation_pb2.Attempt(provider="mock", model="mock-large", duration=Duration(seconds=1))]
    fake.will("Generate", answer(route=generation_pb2.Route(attempts=tried)))

    response = ai.request("Hi")

    spent = Usage(input_tokens=3, output_tokens=9, source="estimated")
    assert response.attempts == response.metadata.attempts
    assert response.attempts == (
        Attempt("mock", "mock-small", "PROVIDER_TIMEOUT", None, spent, Decimal("0.001"), "USD"),
        Attempt("mock", "mock-large", "", 1.0),
    )
    assert response.cost == Decimal("0.0025")
