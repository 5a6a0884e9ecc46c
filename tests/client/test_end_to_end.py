"""The clients against a whole server with the Mock provider."""

from __future__ import annotations

import asyncio

import pytest

from aimanager import AIManager, AsyncAIManager, InvalidModelError, InvalidProviderError, InvalidRequestError
from aimanager.cli import main


@pytest.fixture
def ai(gateway: str) -> AIManager:
    return AIManager("any key", provider="mock", target=gateway)


def test_one_call_end_to_end(ai: AIManager) -> None:
    with ai:
        response = ai.request("Hello there")

    assert response.content
    assert response.metadata.provider == "mock"
    assert response.finish_reason == "stop"
    assert response.usage.total_tokens > 0
    assert response.metadata.request_id


def test_a_stream_says_what_its_response_says(ai: AIManager) -> None:
    with ai, ai.stream("Hello there") as stream:
        text = "".join(stream.text)

    assert text == stream.response.content != ""


def test_a_repeat_with_one_key_is_the_same_answer(ai: AIManager) -> None:
    with ai:
        first = ai.request("Hello there", idempotency_key="test_with_server")
        again = ai.request("Hello there", idempotency_key="test_with_server")

    assert (again.content, again.from_cache) == (first.content, True)


def test_an_unknown_model_is_named(ai: AIManager) -> None:
    with ai, pytest.raises(InvalidModelError) as raised:
        ai.request("Hi", model="mock/no-such-model")

    assert "no-such-model" in str(raised.value)
    assert raised.value.solution


def test_an_unknown_provider_is_named(gateway: str) -> None:
    with AIManager("key", "nosuch", target=gateway) as ai, pytest.raises(InvalidProviderError):
        ai.request("Hi")


def test_a_setting_out_of_range_names_its_field(ai: AIManager) -> None:
    with ai, pytest.raises(InvalidRequestError) as raised:
        ai.request("Hi", temperature=3.0)

    assert [row.field for row in raised.value.fields] == ["sampling.temperature"]


def test_models_and_health_are_read(ai: AIManager) -> None:
    with ai:
        models = ai.models.list("mock")
        latest = ai.models.get("mock/latest")
        states = {health.provider: health for health in ai.health.list()}

    assert latest.id in [model.id for model in models]
    assert "mock" in states


async def test_async_calls_run_side_by_side(gateway: str) -> None:
    async with AsyncAIManager.gateway(gateway, model="mock/latest") as ai:
        responses = await asyncio.gather(*(ai.request("Hello there") for _ in range(8)))
        text = "".join([text async for text in ai.stream("Hello there").text])

    assert {response.content for response in responses} == {text}


def test_the_command_asks(gateway: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Hello there", "--model", "mock/latest", "--target", gateway]) == 0

    assert capsys.readouterr().out.strip()
