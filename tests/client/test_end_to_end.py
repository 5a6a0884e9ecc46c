"""The clients with a real server and the Mock provider."""

from __future__ import annotations

import asyncio
import io

import pytest

from aimanager import (
    AIManager,
    AsyncAIManager,
    InvalidModelError,
    InvalidProviderError,
    InvalidRequestError,
    RateLimitError,
)
from aimanager.cli import main
from aimanager.cli.console import Console
from tests.support.gateway import settings_with, started_gateway


@pytest.fixture
def ai(gateway: str) -> AIManager:
    return AIManager("any key", provider="mock", target=gateway)


def test_request_returns_a_response(ai: AIManager) -> None:
    with ai:
        response = ai.request("Hello there")

    assert response.content
    assert response.metadata.provider == "mock"
    assert response.finish_reason == "stop"
    assert response.usage.total_tokens > 0
    assert response.metadata.request_id


def test_streamed_text_equals_the_response(ai: AIManager) -> None:
    with ai, ai.stream("Hello there") as stream:
        text = "".join(stream.text)

    assert text == stream.response.content != ""


def test_repeated_idempotency_key_returns_the_first_response(ai: AIManager) -> None:
    with ai:
        first = ai.request("Hello there", idempotency_key="test_end_to_end_0123456789")
        repeated = ai.request("Hello there", idempotency_key="test_end_to_end_0123456789")

    assert (first.cache_status, repeated.cache_status) == ("miss", "idempotent_replay")
    assert (repeated.content, repeated.from_cache) == (first.content, True)


def test_unknown_model_raises(ai: AIManager) -> None:
    with ai, pytest.raises(InvalidModelError) as raised:
        ai.request("Hi", model="mock/no-such-model")

    assert "no-such-model" in str(raised.value)
    assert raised.value.solution


def test_unknown_provider_raises(gateway: str) -> None:
    with AIManager("key", "nosuch", target=gateway) as ai, pytest.raises(InvalidProviderError):
        ai.request("Hi")


def test_invalid_option_names_the_parameter(ai: AIManager) -> None:
    with ai, pytest.raises(InvalidRequestError) as raised:
        ai.request("Hi", temperature=3.0)

    assert [row.field for row in raised.value.fields] == ["temperature"]
    assert str(raised.value).startswith("temperature")


def test_models_and_health_are_listed(ai: AIManager) -> None:
    with ai:
        models = ai.models.list("mock")
        latest = ai.models.get("mock/latest")
        states = {health.provider: health for health in ai.health.list()}

    assert latest.id in [model.id for model in models]
    assert "mock" in states


def test_own_rate_limit_beyond_max_wait_is_raised_at_once() -> None:
    settings = settings_with(tiers={"free": {"requests_per_minute": 1}})
    with started_gateway(settings) as target, AIManager.gateway(target, model="mock/latest") as ai:
        ai.request("Hello there")
        with pytest.raises(RateLimitError) as raised:
            ai.request("Hello again")

    assert raised.value.reason == "RATE_LIMITED"
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 10


async def test_async_calls_run_concurrently(gateway: str) -> None:
    async with AsyncAIManager.gateway(gateway, model="mock/latest") as ai:
        responses = await asyncio.gather(*(ai.request("Hello there") for _ in range(8)))
        text = "".join([text async for text in ai.stream("Hello there").text])

    assert {response.content for response in responses} == {text}


def test_command_prints_a_response(gateway: str) -> None:
    console = Console(io.StringIO(), io.StringIO(), io.StringIO())

    assert main(["ask", "Hello there", "--model", "mock/latest", "--target", gateway], console) == 0

    assert "Hello there" in console.stdout.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
