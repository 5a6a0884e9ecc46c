"""Restarts, fallbacks and sums against whole servers, each with failures of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aimanager import AIManager, AsyncAIManager, Restarted, StreamInterruptedError
from gateways import served, settings_with

SMALL = "mock/mock-small"


@pytest.fixture
def gateway() -> Iterator[str]:
    """A server of this test alone: what fails here opens no circuit elsewhere."""
    with served(settings_with()) as target:
        yield target


@pytest.fixture
def ai(gateway: str) -> AIManager:
    return AIManager("any key", provider="mock", target=gateway)


def test_a_cut_answer_begins_again_with_the_fallback(ai: AIManager) -> None:
    with ai:
        seen = list(
            ai.stream("[[reply: One, two, three.]] [[cut: 2 times=1]] as events", fallback_models=[SMALL]).events
        )

    [restart] = [event for event in seen if isinstance(event, Restarted)]
    assert (restart.provider, restart.model) == ("mock", "mock-small")
    assert str(seen[-1]) == "One, two, three."


def test_a_cut_answer_is_void_as_text_and_whole_as_a_response(ai: AIManager) -> None:
    stream = ai.stream("[[reply: One, two, three.]] [[cut: 2 times=1]] as text", fallback_models=[SMALL])
    with ai:
        with pytest.raises(StreamInterruptedError) as raised:
            list(stream.text)
        response = stream.response

    assert raised.value.usage is not None
    assert [attempt.error_reason for attempt in response.attempts] == ["STREAM_INTERRUPTED", ""]
    assert (response.content, response.metadata.model) == ("One, two, three.", "mock-small")


async def test_an_async_answer_that_began_again_can_be_awaited(gateway: str) -> None:
    async with AsyncAIManager.gateway(gateway, model="mock/latest") as ai:
        stream = ai.stream("[[reply: One, two, three.]] [[cut: 2 times=1]] in asyncio", fallback_models=[SMALL])
        with pytest.raises(StreamInterruptedError):
            _ = [text async for text in stream.text]

        assert (await stream.complete()).content == "One, two, three."


def test_a_cut_answer_fails_where_that_was_asked_for(ai: AIManager) -> None:
    stream = ai.stream("[[reply: One, two, three.]] [[cut: 2]]", fallback_models=[SMALL], on_interruption="fail")

    with ai, pytest.raises(StreamInterruptedError) as raised:
        list(stream.events)

    assert raised.value.usage is not None
    assert [attempt.error_reason for attempt in raised.value.attempts] == ["STREAM_INTERRUPTED"]


def test_a_fallback_answers_and_the_sums_tell(ai: AIManager) -> None:
    with ai:
        response = ai.request("[[reply: One, two.]] [[cut: 1 times=1]] whole", fallback_models=[SMALL])
        summary = ai.metrics.get_summary("mock")
        [quality] = ai.health.assess(["mock"])

    assert response.metadata.model == "mock-small"
    assert response.attempts[0].error_reason == "STREAM_INTERRUPTED"
    assert summary.total.fallbacks == 1
    assert (summary.requests_total, summary.requests_error) == (1, 0)
    assert quality.sample_count == 2
