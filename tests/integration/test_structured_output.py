"""Structured output end to end: gRPC to the client, the wires to the providers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from aimanager import AIError, AIManager, InvalidRequestError, ProviderError
from aimanager.v1 import generation_pb2
from tests.support.aimock import AimockServer, aimock, reason_to_skip
from tests.support.gateway import settings_with, started_gateway

CAPITAL = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
}
UNSUPPORTED_KEYWORD = {
    **CAPITAL,
    "properties": {"city": {"type": "string"}, "people": {"type": "integer", "multipleOf": 3}},
}
"""A schema that no provider supports natively, so the gateway validates it."""

ROME = {"city": "Rome", "people": 2_800_000}
MODELS = {"claude": "claude/claude-opus-5-5", "openai": "openai/gpt-4.1", "deepseek": "deepseek/deepseek-flash"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[AimockServer]:
    if reason_to_skip():
        pytest.skip(reason_to_skip())
    with aimock() as server:
        yield server


@pytest.fixture(scope="module")
def aimock_gateway(upstream: AimockServer) -> Iterator[str]:
    """A gateway whose providers are aimock."""
    chat = {"base_url": f"{upstream.url}/v1", "api_key": "canary"}
    providers = {
        "claude": {"base_url": upstream.url, "api_key": "canary"},
        "openai": {"wire": "chat_completions", **chat},
        "deepseek": chat,
    }
    with started_gateway(settings_with(providers=providers)) as target:
        yield target


@pytest.fixture
def aimock_ai(aimock_gateway: str) -> Iterator[AIManager]:
    with AIManager.gateway(aimock_gateway) as client:
        yield client


@pytest.fixture
def ai(gateway: str) -> Iterator[AIManager]:
    with AIManager.gateway(gateway, model="mock/latest") as client:
        yield client


def request_bodies(upstream: AimockServer, words: str) -> list[dict[str, Any]]:
    """Return the bodies of the requests whose messages contain the words."""
    bodies = [request["body"] for request in upstream.requests()]
    return [body for body in bodies if words in json.dumps(body.get("messages", []))]


@pytest.mark.parametrize("provider", MODELS)
def test_every_wire_returns_valid_json(aimock_ai: AIManager, provider: str) -> None:
    response = aimock_ai.request("The capital as JSON, please", model=MODELS[provider], output=CAPITAL)

    assert response.parsed == ROME
    assert [attempt.error_reason for attempt in response.metadata.attempts] == [""]


@pytest.mark.parametrize("provider", MODELS)
def test_every_wire_streams_valid_json(aimock_ai: AIManager, provider: str) -> None:
    with aimock_ai.stream("The capital as JSON, please", model=MODELS[provider], output=CAPITAL) as stream:
        text = "".join(stream.text)

    assert json.loads(text) == stream.response.parsed == ROME


@pytest.mark.parametrize("provider", MODELS)
def test_an_invalid_response_is_repaired_once_on_every_wire(aimock_ai: AIManager, provider: str) -> None:
    response = aimock_ai.request("The capital, roughly", model=MODELS[provider], output=CAPITAL)

    assert response.parsed == ROME
    assert (response.usage.input_tokens, response.usage.output_tokens) == (25, 12)
    assert [attempt.error_reason for attempt in response.metadata.attempts] == ["OUTPUT_SCHEMA_MISMATCH", ""]


def test_an_emulated_stream_shows_only_the_repaired_response(aimock_ai: AIManager) -> None:
    with aimock_ai.stream("The capital, roughly", model=MODELS["deepseek"], output=CAPITAL) as stream:
        text = "".join(stream.text)

    assert json.loads(text) == ROME


@pytest.mark.parametrize("provider", ["claude", "openai"])
def test_a_native_stream_with_invalid_json_fails_at_its_end(aimock_ai: AIManager, provider: str) -> None:
    texts: list[str] = []

    stream = aimock_ai.stream("The capital, roughly", model=MODELS[provider], output=CAPITAL)
    with stream, pytest.raises(ProviderError) as raised:
        texts.extend(stream.text)

    assert "".join(texts) == "It is Rome."
    assert raised.value.reason == "OUTPUT_SCHEMA_MISMATCH"
    assert raised.value.usage is not None
    assert raised.value.usage.output_tokens == 3


@pytest.mark.parametrize("provider", MODELS)
def test_an_invalid_repair_is_an_error_with_path_and_usage(aimock_ai: AIManager, provider: str) -> None:
    with pytest.raises(ProviderError) as raised:
        aimock_ai.request("The capital, stubbornly", model=MODELS[provider], output=UNSUPPORTED_KEYWORD)

    error = raised.value
    assert error.reason == "OUTPUT_SCHEMA_MISMATCH"
    assert error.context["path"] == "/people"
    assert error.usage is not None
    assert error.usage.output_tokens == 12
    assert [attempt.error_reason for attempt in error.attempts] == ["OUTPUT_SCHEMA_MISMATCH"] * 2


def test_each_wire_requests_the_format_natively_or_in_the_prompt(aimock_ai: AIManager, upstream: AimockServer) -> None:
    for provider in MODELS:
        aimock_ai.request(f"The capital as JSON, for {provider}", model=MODELS[provider], output=CAPITAL)

    closed = {**CAPITAL, "additionalProperties": False}
    [claude], [openai], [deepseek] = (request_bodies(upstream, f"for {provider}") for provider in MODELS)
    assert openai["response_format"]["json_schema"] == {"name": "answer", "schema": closed, "strict": True}
    assert deepseek["response_format"] == {"type": "json_object"}
    assert json.dumps(CAPITAL) in deepseek["messages"][0]["content"]
    assert claude["messages"][-1]["role"] == "user"


def test_a_strict_schema_is_rejected_for_an_emulating_model_with_alternatives(aimock_ai: AIManager) -> None:
    schema = generation_pb2.JsonSchema(schema_json=json.dumps(CAPITAL), strict=True)

    with pytest.raises(InvalidRequestError) as raised:
        aimock_ai.request(
            "The capital as JSON", model=MODELS["deepseek"], output=generation_pb2.OutputFormat(json_schema=schema)
        )

    assert raised.value.reason == "CAPABILITY_UNSUPPORTED"
    assert [violation.field for violation in raised.value.fields] == ["output"]
    assert "claude/" in raised.value.context["models"] or "openai/" in raised.value.context["models"]


def test_a_strict_schema_with_an_unsupported_keyword_is_rejected(aimock_ai: AIManager) -> None:
    schema = generation_pb2.JsonSchema(schema_json=json.dumps(UNSUPPORTED_KEYWORD), strict=True)

    with pytest.raises(InvalidRequestError) as raised:
        aimock_ai.request(
            "The capital as JSON", model=MODELS["claude"], output=generation_pb2.OutputFormat(json_schema=schema)
        )

    assert [violation.field for violation in raised.value.fields] == ["output"]


def test_the_mock_generates_a_value_for_any_schema(ai: AIManager) -> None:
    assert ai.request("Hi", output=CAPITAL).parsed == {"city": "text", "people": 0}
    assert ai.request("Hi", output=dict).parsed == {"answer": "This is JSON."}


@pytest.mark.parametrize("finish_reason", ["max_tokens", "refusal"])
def test_a_truncated_or_refused_response_has_no_json(ai: AIManager, finish_reason: str) -> None:
    response = ai.request(f'[[reply: {{"city": "Ro]] [[finish: {finish_reason}]]', output=CAPITAL)

    assert (response.content, response.finish_reason) == ('{"city": "Ro', finish_reason)
    with pytest.raises(ValueError, match=f"finish_reason '{finish_reason}'"):
        _ = response.parsed


def test_an_invalid_schema_is_rejected_with_its_field(ai: AIManager) -> None:
    for schema in ({"type": "text"}, {"$ref": "https://example.com/"}, {"pattern": r"(a)\1"}):
        with pytest.raises(InvalidRequestError) as raised:
            ai.request("Hi", output=schema)

        assert [violation.field for violation in raised.value.fields] == ["output"], schema


def test_an_endlessly_recursive_schema_is_rejected(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError):
        ai.request('[[reply: "x"]]', output={"allOf": [{"$ref": "#"}]}, timeout=30)


def test_an_idempotency_key_is_bound_to_the_output_format(ai: AIManager) -> None:
    ai.request("Hi", output=CAPITAL, idempotency_key="test_structured_output")

    with pytest.raises(AIError):
        ai.request("Hi", output=dict, idempotency_key="test_structured_output")
    replay = ai.request("Hi", output=CAPITAL, idempotency_key="test_structured_output")
    assert (replay.from_cache, replay.parsed) == (True, {"city": "text", "people": 0})
