"""`batch`: many requests, in order."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from aimanager import AIError, AIManager, AIResponse, AsyncAIManager, InvalidModelError, InvalidRequestError
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.server import FakeGateway

REQUESTS: list[Any] = [
    "[[reply: One.]]",
    {"prompt": "[[reply: Two.]]", "model": "mock/nothing"},
    {"role": "user", "content": "[[reply: Three.]]"},
    3,
    {"prompt": ["[[reply: Four.]]"], "model": "mock/fast"},
]


def summary(results: list[AIResponse[Any] | AIError]) -> list[object]:
    return [type(result) if isinstance(result, AIError) else str(result) for result in results]


@pytest.fixture
def broken(fake: FakeGateway) -> FakeGateway:
    fake.respond("Generate", error_status(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"))
    return fake


def test_results_are_in_order_and_one_failure_fails_alone(example_gateway: str) -> None:
    with AIManager.gateway(example_gateway, model="mock/latest") as ai:
        results = ai.batch(REQUESTS, max_in_flight=2)

    assert summary(results) == ["One.", InvalidModelError, "Three.", InvalidRequestError, "Four."]


async def test_async_results_are_in_order(example_gateway: str) -> None:
    async with AsyncAIManager.gateway(example_gateway, model="mock/latest") as ai:
        results = await ai.batch(REQUESTS, max_in_flight=2)

    assert summary(results) == ["One.", InvalidModelError, "Three.", InvalidRequestError, "Four."]


def test_own_options_override_those_of_the_batch(fake: FakeGateway, ai: AIManager) -> None:
    ai.batch(["a", {"prompt": "b", "enable_reasoning": False, "temperature": 1.0}], reasoning="high", max_in_flight=1)

    sent = [call.request for call in fake.received]
    assert [(each.reasoning.effort, each.sampling.temperature) for each in sent] == [(5, 0.0), (1, 1.0)]


@pytest.mark.usefixtures("broken")
async def test_every_request_may_fail(ai: AIManager, async_ai: AsyncAIManager) -> None:
    assert summary(ai.batch(["a"] * 20)) == [InvalidModelError] * 20
    assert summary(await async_ai.batch(["a"] * 20)) == [InvalidModelError] * 20
    assert (ai.batch([]), await async_ai.batch([])) == ([], [])


@pytest.mark.parametrize(
    ("requests", "options", "problem"),
    [
        ("Hi", {}, r"requests must be a list, got str"),
        ({"role": "user"}, {}, "requests must be a list, got dict"),
        (3, {}, "requests must be a list, got int"),
        (["Hi"], {"max_in_flight": 0}, "max_in_flight must be a positive integer, got 0"),
        (["Hi", {"prompt": "Hi", "temprature": 1}], {}, "'temprature'. Did you mean 'temperature'"),
        (["Hi", {"prmpt": "Hi"}], {}, r"requests\[1\] must have the key 'prompt'"),
        (["Hi"], {"temprature": 1}, "'temprature'. Did you mean 'temperature'"),
    ],
)
def test_invalid_batch_sends_nothing(
    fake: FakeGateway, ai: AIManager, requests: Any, options: Any, problem: str
) -> None:
    with pytest.raises((InvalidRequestError, TypeError), match=problem):
        ai.batch(requests, **options)

    assert not fake.received
