"""Model suggestions and token counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, InvalidProviderError, InvalidRequestError, ModelSuggestion, TokenCount
from aimanager.v1 import model_pb2, usage_pb2
from tests.support.fake_gateway.catalog import LARGE, SMALL
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.server import FakeGateway

TOKEN_COUNT = model_pb2.CountTokensResponse(
    input_tokens=42, source=usage_pb2.USAGE_SOURCE_ESTIMATED, provider="claude", model="claude-opus-5-5"
)
SUGGESTIONS = model_pb2.SuggestModelsResponse(
    suggestions=[
        model_pb2.ModelSuggestion(model=LARGE, score=0.75, reasons=["has image_input", "can be called now"]),
        model_pb2.ModelSuggestion(model=SMALL, score=0.5),
    ]
)


@pytest.fixture(autouse=True)
def responses(populated: FakeGateway) -> None:
    populated.respond("SuggestModels", SUGGESTIONS)
    populated.respond("CountTokens", TOKEN_COUNT)


def test_capability_synonyms_are_sent_as_api_capabilities(fake: FakeGateway, ai: AIManager) -> None:
    found = ai.models.suggest(
        ["vision", "function_calling", "structured_output", "reasoning"],
        preferred=["pdf"],
        objective="cost",
        min_context_window_tokens=9,
        providers=["mock"],
        max_results=2,
    )

    assert fake.received[0].request == model_pb2.SuggestModelsRequest(
        required=[
            model_pb2.CAPABILITY_IMAGE_INPUT,
            model_pb2.CAPABILITY_TOOL_CALLING,
            model_pb2.CAPABILITY_STRUCTURED_OUTPUT,
            model_pb2.CAPABILITY_REASONING,
        ],
        preferred=[model_pb2.CAPABILITY_DOCUMENT_INPUT],
        objective=model_pb2.OBJECTIVE_COST,
        min_context_window_tokens=9,
        providers=["mock"],
        max_results=2,
    )
    assert [(suggestion.model.id, suggestion.score, suggestion.reasons) for suggestion in found] == [
        ("mock/mock-large", 0.75, ("has image_input", "can be called now")),
        ("mock/mock-small", 0.5, ()),
    ]
    assert isinstance(found[0], ModelSuggestion)


def test_suggest_without_options_sends_an_empty_request(fake: FakeGateway, ai: AIManager) -> None:
    ai.models.suggest(objective=None)

    assert fake.received[0].request == model_pb2.SuggestModelsRequest()


@pytest.mark.parametrize(
    ("objective", "number"), [("balanced", model_pb2.OBJECTIVE_BALANCED), ("quality", model_pb2.OBJECTIVE_QUALITY)]
)
def test_objective_is_sent(fake: FakeGateway, ai: AIManager, objective: Any, number: int) -> None:
    ai.models.suggest(objective=objective)

    assert fake.received[0].request.objective == number


def test_suggest_model_returns_the_best_id(fake: FakeGateway, ai: AIManager) -> None:
    assert ai.suggest_model("mock", ["vision"]) == "mock/mock-large"
    assert fake.received[0].request == model_pb2.SuggestModelsRequest(
        required=[model_pb2.CAPABILITY_IMAGE_INPUT], providers=["mock"], max_results=1
    )


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        (["streaming", "vision", "reasoning"], "vision, reasoning"),
        (["streaming", "structured_output"], "all of streaming, structured_output at once"),
    ],
)
def test_missing_capabilities_are_named(fake: FakeGateway, ai: AIManager, required: list[str], missing: str) -> None:
    fake.respond("SuggestModels", model_pb2.SuggestModelsResponse())

    with pytest.raises(
        InvalidRequestError, match=f"^No model of provider 'mock' is known to support {missing}."
    ) as caught:
        ai.suggest_model("mock", required)

    assert (caught.value.reason, caught.value.provider) == ("CAPABILITY_UNSUPPORTED", "mock")
    assert caught.value.solution


def test_unknown_provider_raises(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("SuggestModels", error_status(grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND"))

    with pytest.raises(InvalidProviderError):
        ai.suggest_model("nobody", ["vision"])


@pytest.mark.parametrize("options", [{"preferred": ["flying"]}, {"objective": "beauty"}])
def test_unknown_capability_or_objective_is_rejected(ai: AIManager, options: Any) -> None:
    with pytest.raises(InvalidRequestError, match="must be"):
        ai.models.suggest(**options)


def test_unknown_keyword_suggests_the_closest(ai: AIManager) -> None:
    with pytest.raises(TypeError, match="Did you mean 'objective'"):
        ai.models.suggest(objectiv="cost")  # type: ignore[call-arg]


def test_count_tokens_sends_the_whole_request(fake: FakeGateway) -> None:
    with AIManager("s3cret", provider="claude", target=fake.target) as ai:
        count = ai.models.count_tokens("Hi", system="Be brief.", timeout=5)

    call = fake.received[0]
    assert count == TokenCount(42, "estimated", "claude", "claude-opus-5-5")
    assert call.request.request.model == "claude/latest"
    assert call.request.request.system_instruction == "Be brief."
    assert not call.request.request.extract_artifacts
    assert call.metadata["x-provider-key-claude"] == "s3cret"
    assert call.timeout < 6


def test_refresh_has_a_longer_timeout(fake: FakeGateway, ai: AIManager) -> None:
    ai.models.list(refresh=True)

    assert fake.received[0].request.refresh
    assert 11 < fake.received[0].timeout < 40


async def test_async_client_suggests_and_counts(fake: FakeGateway, async_ai: AsyncAIManager, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")

    assert await async_ai.suggest_model("mock", ["vision"]) == "mock/mock-large"
    assert [each.model.id for each in await async_ai.models.suggest()] == [
        "mock/mock-large",
        "mock/mock-small",
    ]
    assert (await async_ai.models.count_tokens("Hi")).input_tokens == 42
    await async_ai.models.count_tokens("Hi", attachments=[tmp_path / "a.txt"])
    await async_ai.models.list(refresh=True)
    fake.respond("SuggestModels", model_pb2.SuggestModelsResponse())
    with pytest.raises(InvalidRequestError):
        await async_ai.suggest_model("mock", ["vision"])

    assert len(fake.received[3].request.request.messages[0].parts) == 2
