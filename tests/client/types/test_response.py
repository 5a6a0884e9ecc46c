"""What an answer tells."""

from __future__ import annotations

from decimal import Decimal

import pytest

from aimanager import (
    AIManager,
    AIResponse,
    Part,
)
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.fake_gateway.server import answer

PNG = b"\x89PNG\r\n\x1a\n"


def test_an_answer_tells_everything(ai: AIManager) -> None:
    response = ai.request("Hi")

    assert str(response) == response.content == "Hello."
    assert response.usage.total_tokens == 5
    assert response.usage.source == "reported"
    assert response.cost == Decimal("0.0025")
    assert not response.cost_is_exact
    assert response.finish_reason == response.metadata.finish_reason == "stop"
    assert not response.from_cache
    assert response.tool_calls == []
    assert repr(response) == "AIResponse(provider='mock', model='mock-large', content='Hello.')"


def test_metadata_tells_the_way(ai: AIManager) -> None:
    metadata = ai.request("Hi").metadata

    assert (metadata.request_id, metadata.provider, metadata.model) == ("req-1", "mock", "mock-large")
    assert (metadata.latency, metadata.time_to_first_token) == (1.5, None)
    assert [attempt.error_reason for attempt in metadata.attempts] == ["PROVIDER_OVERLOADED", ""]
    assert (metadata.cost, metadata.currency, metadata.cost_is_exact) == (Decimal("0.0025"), "USD", False)


def test_an_empty_answer_still_has_usage_and_metadata() -> None:
    response = AIResponse(generation_pb2.GenerateResponse())

    assert response.usage.source == "missing"
    assert response.metadata.provider == ""
    assert response.cost is None
    assert not response.cost_is_exact
    assert response.finish_reason == ""


def test_a_free_answer_has_a_cost() -> None:
    free = generation_pb2.GenerateResponse(cost=usage_pb2.Cost(currency_code="USD"))

    assert AIResponse(free).cost == 0
    assert AIResponse(free).cost_is_exact


def test_reasoning_tool_calls_and_warnings_are_read() -> None:
    call = content_pb2.ToolCall(id="1", name="weather", arguments_json='{"city": "Rome"}')
    parts = [Part(reasoning=content_pb2.Reasoning(text="Hm.")), Part(tool_call=call)]
    warning = generation_pb2.Warning(field="sampling.seed", message="left out")
    response = AIResponse(answer(message=content_pb2.Message(parts=parts), warnings=[warning]))

    [asked] = response.tool_calls

    assert response.reasoning == "Hm."
    assert (asked.id, asked.name, asked.arguments) == ("1", "weather", {"city": "Rome"})
    assert [(each.field, each.message) for each in response.warnings] == [("sampling.seed", "left out")]


def test_arguments_that_are_no_object_are_refused() -> None:
    call = content_pb2.ToolCall(id="1", name="weather", arguments_json="[]")
    response = AIResponse(answer(message=content_pb2.Message(parts=[Part(tool_call=call)])))

    with pytest.raises(ValueError, match="not a JSON object"):
        _ = response.tool_calls[0].arguments


def test_a_repr_cuts_at_fifty_characters() -> None:
    assert repr(AIResponse(answer("x" * 50))).endswith(f"content='{'x' * 50}')")
    assert repr(AIResponse(answer("x" * 51))).endswith(f"content='{'x' * 50}…')")


def test_an_enum_value_of_a_newer_server_is_unknown() -> None:
    assert AIResponse(generation_pb2.GenerateResponse(finish_reason=99)).finish_reason == "unknown"  # type: ignore[arg-type]
