"""Restarts, fallbacks and metrics with a real server and the Mock provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aimanager import AIManager, AsyncAIManager, Restarted, StreamInterruptedError
from tests.support.gateway import settings_with, started_gateway

SMALL = "mock/mock-small"


@pytest.fixture
def gateway() -> Iterator[str]:
    """A server for one test, whose mock provider counts scripted faults as failures."""
    with started_gateway(settings_with(providers={"mock": {"options": {"faults_count": True}}})) as target:
        yield target


@pytest.fixture
def ai(gateway: str) -> AIManager:
    return AIManager("any key", provider="mock", target=gateway)


def test_interrupted_stream_restarts_with_the_fallback(ai: AIManager) -> None:
    with ai:
        events = list(
            ai.stream("[[reply: One, two, three.]] [[cut: 2 times=1]] as events", fallback_models=[SMALL]).events
        )

    [restart] = [event for event in events if isinstance(event, Restarted)]
    assert (restart.provider, restart.model) == ("mock", "mock-small")
    assert str(events[-1]) == "One, two, three."


def test_text_raises_and_response_is_whole(ai: AIManager) -> None:
    stream = ai.stream("[[reply: One, two, three.]] [[cut: 2 times=1]] as text", fallback_models=[SMALL])
    with ai:
        with pytest.raises(StreamInterruptedError) as raised:
            list(stream.text)
        response = stream.response

    assert raised.value.usage is not None
    assert [attempt.error_reason for attempt in response.attempts] == ["STREAM_INTERRUPTED", ""]
    assert (response.content, response.metadata.model) == ("One, two, three.", "mock-small")


async def test_async_stream_restarts_with_the_fallback(gateway: str) -> None:
    async with AsyncAIManager.gateway(gateway, model="mock/latest") as ai:
        stream = ai.stream("[[reply: One, two, three.]] [[cut: 2 times=1]] in asyncio", fallback_models=[SMALL])
        with pytest.raises(StreamInterruptedError):
            _ = [text async for text in stream.text]

        assert (await stream.complete()).content == "One, two, three."


def test_interrupted_stream_fails_with_the_fail_policy(ai: AIManager) -> None:
    stream = ai.stream("[[reply: One, two, three.]] [[cut: 2]]", fallback_models=[SMALL], on_interruption="fail")

    with ai, pytest.raises(StreamInterruptedError) as raised:
        list(stream.events)

    assert raised.value.usage is not None
    assert [attempt.error_reason for attempt in raised.value.attempts] == ["STREAM_INTERRUPTED"]


def test_fallback_is_counted_in_metrics_and_assessment(ai: AIManager) -> None:
    with ai:
        response = ai.request("[[reply: One, two.]] [[cut: 1 times=1]] whole", fallback_models=[SMALL])
        summary = ai.metrics.get_summary("mock")
        [quality] = ai.health.assess(["mock"])

    assert response.metadata.model == "mock-small"
    assert response.attempts[0].error_reason == "STREAM_INTERRUPTED"
    assert summary.total.fallbacks == 1
    assert (summary.requests_total, summary.requests_error) == (1, 0)
    assert quality.sample_count == 2
