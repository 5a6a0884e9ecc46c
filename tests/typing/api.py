"""Types of the public API, for type checkers. This file is checked, not run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import assert_type

from aimanager import (
    AIConfig,
    AIManager,
    AIResponse,
    AIStream,
    AsyncAIManager,
    AsyncAIStream,
    Attempt,
    Embeddings,
    Message,
    MetricsSummary,
    Model,
    ModelSuggestion,
    ProviderHealth,
    ProviderQuality,
    RateLimitError,
    Restarted,
    TokenCount,
    Tool,
    Usage,
    tool,
    user,
)
from aimanager.v1.generation_pb2 import Execution


def requests(ai: AIManager, error: RateLimitError) -> None:
    response = ai.request("Hi", temperature=0.5, reasoning="high", tools=[requests], attachments=["a.png", b"bytes"])
    assert_type(response, AIResponse)
    assert_type(response.content, str)
    assert_type(response.usage, Usage)
    assert_type(response.cost, Decimal | None)
    assert_type(response.message, Message)
    assert_type(response.attempts, tuple[Attempt, ...])
    assert_type(response.attempts[0].cost, Decimal | None)
    assert_type(error.usage, Usage | None)
    assert_type(response.cache_status, str)
    assert_type(response.metadata.execution, Execution)
    ai.request("Hi", fallback_models=["openai/fast"], first_token_timeout=5, idle_timeout=2.5)
    ai.request("Hi", end_user_id="u-1", cache_hint="long", extract_artifacts=False, optimize=["whitespace", "history"])
    assert_type(ai.request([user("Hi"), response, "And now?"]), AIResponse)
    assert_type(ai.models.list(), list[Model])
    assert_type(ai.models.suggest(["vision"], objective="balanced"), Sequence[ModelSuggestion])
    assert_type(ai.models.count_tokens("Hi"), TokenCount)
    assert_type(ai.suggest_model("claude", ["vision"]), str)
    assert_type(ai.embed(["a"], dimensions=8, purpose="query", idempotency_key="a"), Embeddings)
    assert_type(ai.embed("a")[0], Sequence[float])
    assert_type(ai.health.list(probe=True), list[ProviderHealth])
    assert_type(ai.health.assess(window=60), Sequence[ProviderQuality])
    assert_type(ai.metrics.get_summary("claude", window=60), MetricsSummary)
    assert_type(ai.metrics.get_summary().request_duration, float | None)
    assert_type(error.retry_after, float | None)
    assert_type(tool(requests), Tool)


def streams(ai: AIManager) -> None:
    with ai.stream("Hi") as stream:
        assert_type(stream, AIStream)
        for piece in stream:
            assert_type(piece, AIResponse)
        for text in stream.text:
            assert_type(text, str)
        for event in stream.events:
            if isinstance(event, Restarted):
                assert_type(event.attempts, tuple[Attempt, ...])
                assert_type(event.execution, Execution)
        assert_type(stream.response, AIResponse)
        assert_type(stream.complete(), AIResponse)
    ai.stream("Hi", on_interruption="fail", idle_timeout=1)
    ai.stream("Hi", on_interruption="retry")  # type: ignore[call-overload]


async def async_calls(ai: AsyncAIManager) -> None:
    assert_type(await ai.request("Hi"), AIResponse)
    assert_type(await ai.models.get("fast"), Model)
    assert_type(await ai.embed("a"), Embeddings)
    assert_type(await ai.suggest_model("claude", ["vision"]), str)
    async with ai.stream("Hi") as stream:
        assert_type(stream, AsyncAIStream)
        async for text in stream.text:
            assert_type(text, str)
        assert_type(await stream.complete(), AIResponse)
        assert_type(stream.response, AIResponse)
    assert_type(await ai.metrics.get_summary(), MetricsSummary)
    assert_type(await ai.health.assess(["claude"]), Sequence[ProviderQuality])
    async for health in ai.health.watch():
        assert_type(health, ProviderHealth)


def configuration() -> None:
    config = AIConfig.builder().with_provider("claude").with_model("fast").with_timeout(60).with_retries(2).build()
    assert_type(config, AIConfig)
    assert_type(AIManager("key", config=config, timeout=5.0, token="t"), AIManager)  # no password
    assert_type(AIManager.gateway("localhost:50051", model="fast"), AIManager)
    AIManager("key", provder="claude")  # type: ignore[call-arg]
    AIManager("key").request("Hi", temprature=1.0)  # type: ignore[call-overload]
    AIManager("key").request("Hi", reasoning="deep")  # type: ignore[call-overload]
