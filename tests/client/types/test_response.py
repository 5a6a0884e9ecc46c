"""AIResponse: content, usage, cost, metadata and warnings."""

from __future__ import annotations

from decimal import Decimal

import pytest

from aimanager import (
    AIManager,
    AIResponse,
    Part,
)
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.fake_gateway.messages import make_response


def test_response_has_content_usage_cost_and_finish_reason(ai: AIManager) -> None:
    response = ai.request("Hi")

    assert str(response) == response.content == "Hello."
    assert response.usage.total_tokens == 5
    assert response.usage.source == "reported"
    assert response.cost == Decimal("0.0025")
    assert not response.cost_is_exact
    assert response.finish_reason == response.metadata.finish_reason == "stop"
    assert (response.from_cache, response.cache_status) == (False, "miss")
    assert response.tool_calls == []
    assert repr(response) == "AIResponse(provider='mock', model='mock-large', content='Hello.')"


def test_metadata_has_provider_latency_and_attempts(ai: AIManager) -> None:
    metadata = ai.request("Hi").metadata

    assert (metadata.request_id, metadata.provider, metadata.model) == ("req-1", "mock", "mock-large")
    assert (metadata.latency, metadata.time_to_first_token) == (1.5, None)
    assert [attempt.error_reason for attempt in metadata.attempts] == ["PROVIDER_OVERLOADED", ""]
    assert (metadata.cost, metadata.currency, metadata.cost_is_exact) == (Decimal("0.0025"), "USD", False)


def test_empty_response_has_usage_and_metadata() -> None:
    response = AIResponse.from_proto(generation_pb2.GenerateResponse())

    assert response.usage.source == "missing"
    assert response.metadata.provider == ""
    assert response.cost is None
    assert not response.cost_is_exact
    assert response.finish_reason == ""
    assert (response.from_cache, response.cache_status) == (False, "")


def test_replayed_response_is_from_the_cache() -> None:
    response = AIResponse.from_proto(make_response(cache_status=usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY))

    assert (response.from_cache, response.cache_status) == (True, "idempotent_replay")
    assert (response.metadata.from_cache, response.metadata.cache_status) == (True, "idempotent_replay")


def test_cost_of_zero_is_not_an_unknown_cost() -> None:
    free = generation_pb2.GenerateResponse(cost=usage_pb2.Cost(currency_code="USD"))

    assert AIResponse.from_proto(free).cost == 0
    assert AIResponse.from_proto(free).cost_is_exact


def test_response_has_reasoning_tool_calls_and_warnings() -> None:
    call = content_pb2.ToolCall(id="1", name="weather", arguments_json='{"city": "Rome"}')
    parts = [Part(reasoning=content_pb2.Reasoning(text="Hm.")), Part(tool_call=call)]
    warning = generation_pb2.Warning(field="sampling.seed", message="sampling.seed is not supported")
    response = AIResponse.from_proto(make_response(message=content_pb2.Message(parts=parts), warnings=[warning]))

    [call_read] = response.tool_calls

    assert response.reasoning == "Hm."
    assert (call_read.id, call_read.name, call_read.arguments) == ("1", "weather", {"city": "Rome"})
    assert [(each.field, each.message) for each in response.warnings] == [("seed", "seed is not supported")]


def test_tool_arguments_must_be_a_json_object() -> None:
    call = content_pb2.ToolCall(id="1", name="weather", arguments_json="[]")
    response = AIResponse.from_proto(make_response(message=content_pb2.Message(parts=[Part(tool_call=call)])))

    with pytest.raises(ValueError, match="must be a JSON object"):
        _ = response.tool_calls[0].arguments


def test_repr_shows_fifty_characters() -> None:
    assert repr(AIResponse.from_proto(make_response("x" * 50))).endswith(f"content='{'x' * 50}')")
    assert repr(AIResponse.from_proto(make_response("x" * 51))).endswith(f"content='{'x' * 50}…')")


def test_enum_value_of_a_newer_server_is_unknown() -> None:
    assert AIResponse.from_proto(generation_pb2.GenerateResponse(finish_reason=99)).finish_reason == "unknown"  # type: ignore[arg-type]
