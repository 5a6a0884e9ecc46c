"""Models by what they can do, suggestions, and counts of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, InvalidProviderError, InvalidRequestError, ModelSuggestion, TokenCount
from aimanager.v1 import health_pb2, model_pb2, usage_pb2
from tests.support.console import Command
from tests.support.fake_gateway.catalog import DOWN, LARGE, SMALL
from tests.support.fake_gateway.server import FakeGateway, refusal

COUNTED = model_pb2.CountTokensResponse(
    input_tokens=42, source=usage_pb2.USAGE_SOURCE_ESTIMATED, model="claude/claude-opus-5-5"
)
SUGGESTED = model_pb2.SuggestModelsResponse(
    suggestions=[
        model_pb2.ModelSuggestion(model=LARGE, score=0.75, reasons=["has image_input", "can be called now"]),
        model_pb2.ModelSuggestion(model=SMALL, score=0.5),
    ]
)


@pytest.fixture(autouse=True)
def choosing(stocked: FakeGateway) -> None:
    stocked.will("SuggestModels", SUGGESTED)
    stocked.will("CountTokens", COUNTED)


def test_a_need_travels_in_the_gateways_words(fake: FakeGateway, ai: AIManager) -> None:
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
    assert [(one.model.id, one.score, one.reasons) for one in found] == [
        ("mock/mock-large", 0.75, ("has image_input", "can be called now")),
        ("mock/mock-small", 0.5, ()),
    ]
    assert isinstance(found[0], ModelSuggestion)


def test_nothing_said_asks_for_the_gateways_defaults(fake: FakeGateway, ai: AIManager) -> None:
    ai.models.suggest(objective=None)

    assert fake.received[0].request == model_pb2.SuggestModelsRequest()


def test_the_best_model_of_a_provider_is_its_id(fake: FakeGateway, ai: AIManager) -> None:
    assert ai.suggest_model("mock", ["vision"]) == "mock/mock-large"
    assert fake.received[0].request == model_pb2.SuggestModelsRequest(
        required=[model_pb2.CAPABILITY_IMAGE_INPUT], providers=["mock"], max_results=1
    )


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        (["streaming", "vision", "reasoning"], "no model of 'mock' is known to have vision, reasoning"),
        (["streaming", "structured_output"], "no model of 'mock' is known to have all of streaming, structured_output"),
    ],
)
def test_what_no_model_has_is_named(fake: FakeGateway, ai: AIManager, required: list[str], missing: str) -> None:
    fake.will("SuggestModels", model_pb2.SuggestModelsResponse())

    with pytest.raises(InvalidRequestError, match=missing) as caught:
        ai.suggest_model("mock", required)

    assert (caught.value.reason, caught.value.provider) == ("CAPABILITY_UNSUPPORTED", "mock")
    assert caught.value.solution


def test_a_provider_that_is_none_is_named(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("SuggestModels", refusal(grpc.StatusCode.NOT_FOUND, "PROVIDER_NOT_FOUND"))

    with pytest.raises(InvalidProviderError):
        ai.suggest_model("nobody", ["vision"])


@pytest.mark.parametrize("options", [{"preferred": ["flying"]}, {"objective": "beauty"}])
def test_a_need_in_unknown_words_is_refused(ai: AIManager, options: Any) -> None:
    with pytest.raises(InvalidRequestError, match="is named"):
        ai.models.suggest(**options)


def test_an_unknown_keyword_names_the_nearest(ai: AIManager) -> None:
    with pytest.raises(TypeError, match="Did you mean 'objective'"):
        ai.models.suggest(objectiv="cost")  # type: ignore[call-arg]


def test_a_question_is_counted_as_it_would_be_asked(fake: FakeGateway) -> None:
    with AIManager("s3cret", provider="claude", target=fake.target) as ai:
        count = ai.models.count_tokens("Hi", system="Be brief.", timeout=5)

    asked = fake.received[0]
    assert count == TokenCount(42, "estimated", "claude/claude-opus-5-5")
    assert asked.request.request.model == "claude/latest"
    assert asked.request.request.system_instruction == "Be brief."
    assert asked.metadata["x-provider-key-claude"] == "s3cret"
    assert asked.seconds < 6


def test_a_refreshed_list_has_more_time(fake: FakeGateway, ai: AIManager) -> None:
    ai.models.list(refresh=True)

    assert fake.received[0].request.refresh
    assert 11 < fake.received[0].seconds < 40


async def test_the_async_client_does_the_same(fake: FakeGateway, async_ai: AsyncAIManager, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")

    assert await async_ai.suggest_model("mock", ["vision"]) == "mock/mock-large"
    assert [one.model.id for one in await async_ai.models.suggest()] == ["mock/mock-large", "mock/mock-small"]
    assert (await async_ai.models.count_tokens("Hi")).input_tokens == 42
    await async_ai.models.count_tokens("Hi", attachments=[tmp_path / "a.txt"])
    await async_ai.models.list(refresh=True)
    fake.will("SuggestModels", model_pb2.SuggestModelsResponse())
    with pytest.raises(InvalidRequestError):
        await async_ai.suggest_model("mock", ["vision"])

    assert len(fake.received[3].request.request.messages[0].parts) == 2


def test_the_command_asks_for_what_it_is_told_and_says_who_failed(fake: FakeGateway) -> None:
    up = health_pb2.ProviderHealth(provider="up", status=health_pb2.PROVIDER_STATUS_HEALTHY)
    fake.will("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=[DOWN, up]))
    command = Command(fake)

    code = command("models", "--refresh", "--available", "--capability", "reasoning", "--provider", "mock", "--json")

    asked = fake.received[0].request
    assert code == 0
    assert (asked.refresh, asked.available_only, asked.provider) == (True, True, "mock")
    assert list(asked.capabilities) == [model_pb2.CAPABILITY_REASONING]
    assert fake.received[-1].request.providers == ["mock"]
    assert command.err == "mock may be incomplete: it is DOWN. Wait.\n"
