"""Structured output through a whole server: gRPC in front, the providers' wires behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from aimanager import AIError, AIManager, InvalidRequestError, ProviderError
from aimanager.v1 import generation_pb2 as pb
from aimock_server import AimockServer, aimock, missing
from gateways import served, settings_with

CAPITAL = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
}
LIMITED = {**CAPITAL, "properties": {"city": {"type": "string"}, "people": {"type": "integer", "multipleOf": 3}}}
ROME = {"city": "Rome", "people": 2_800_000}
MODELS = {"claude": "claude/claude-opus-5-5", "openai": "openai/gpt-4.1", "deepseek": "deepseek/deepseek-flash"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[AimockServer]:
    if missing():
        pytest.skip(missing())
    with aimock() as server:
        yield server


@pytest.fixture(scope="module")
def wired(upstream: AimockServer) -> Iterator[str]:
    """A gateway whose providers are aimock."""
    chat = {"base_url": f"{upstream.url}/v1", "api_key": "canary"}
    providers = {
        "claude": {"base_url": upstream.url, "api_key": "canary"},
        "openai": {"wire": "chat_completions", **chat},
        "deepseek": chat,
    }
    with served(settings_with(providers=providers)) as target:
        yield target


@pytest.fixture
def wires(wired: str) -> Iterator[AIManager]:
    with AIManager.gateway(wired) as client:
        yield client


@pytest.fixture
def ai(gateway: str) -> Iterator[AIManager]:
    with AIManager.gateway(gateway, model="mock/latest") as client:
        yield client


def bodies(upstream: AimockServer, said: str) -> list[dict[str, Any]]:
    """The bodies of the last exchanges whose messages hold these words."""
    sent = [request["body"] for request in upstream.requests()]
    return [body for body in sent if said in json.dumps(body.get("messages", []))]


@pytest.mark.parametrize("provider", MODELS)
def test_every_wire_answers_in_the_shape_asked_for(wires: AIManager, provider: str) -> None:
    response = wires.request("The capital as JSON, please", model=MODELS[provider], output=CAPITAL)

    assert response.parsed == ROME
    assert [attempt.error_reason for attempt in response.metadata.attempts] == [""]


@pytest.mark.parametrize("provider", MODELS)
def test_every_wire_streams_in_the_shape_asked_for(wires: AIManager, provider: str) -> None:
    with wires.stream("The capital as JSON, please", model=MODELS[provider], output=CAPITAL) as stream:
        text = "".join(stream.text)

    assert json.loads(text) == stream.response.parsed == ROME


@pytest.mark.parametrize("provider", MODELS)
def test_every_wire_repairs_an_answer_once(wires: AIManager, provider: str) -> None:
    response = wires.request("The capital, roughly", model=MODELS[provider], output=CAPITAL)

    assert response.parsed == ROME
    assert (response.usage.input_tokens, response.usage.output_tokens) == (25, 12)
    assert [attempt.error_reason for attempt in response.metadata.attempts] == ["OUTPUT_SCHEMA_MISMATCH", ""]


def test_an_emulated_stream_shows_only_the_answer_that_holds(wires: AIManager) -> None:
    with wires.stream("The capital, roughly", model=MODELS["deepseek"], output=CAPITAL) as stream:
        text = "".join(stream.text)

    assert json.loads(text) == ROME


@pytest.mark.parametrize("provider", ["claude", "openai"])
def test_a_native_stream_that_breaks_its_promise_fails_at_its_end(wires: AIManager, provider: str) -> None:
    seen: list[str] = []

    stream = wires.stream("The capital, roughly", model=MODELS[provider], output=CAPITAL)
    with stream, pytest.raises(ProviderError) as raised:
        seen.extend(stream.text)

    assert "".join(seen) == "It is Rome."
    assert raised.value.reason == "OUTPUT_SCHEMA_MISMATCH"
    assert raised.value.usage is not None
    assert raised.value.usage.output_tokens == 3


@pytest.mark.parametrize("provider", MODELS)
def test_a_schema_that_is_missed_twice_is_an_error_with_its_place_and_price(wires: AIManager, provider: str) -> None:
    with pytest.raises(ProviderError) as raised:
        wires.request("The capital, stubbornly", model=MODELS[provider], output=LIMITED)

    error = raised.value
    assert error.reason == "OUTPUT_SCHEMA_MISMATCH"
    assert error.context["path"] == "/people"
    assert error.usage is not None
    assert error.usage.output_tokens == 12
    assert [attempt.error_reason for attempt in error.attempts] == ["OUTPUT_SCHEMA_MISMATCH"] * 2


def test_what_each_wire_is_asked_for(wires: AIManager, upstream: AimockServer) -> None:
    for provider in MODELS:
        wires.request(f"The capital as JSON, for {provider}", model=MODELS[provider], output=CAPITAL)

    closed = {**CAPITAL, "additionalProperties": False}
    [claude], [openai], [deepseek] = (bodies(upstream, f"for {provider}") for provider in MODELS)
    assert openai["response_format"]["json_schema"] == {"name": "answer", "schema": closed, "strict": True}
    assert deepseek["response_format"] == {"type": "json_object"}
    assert json.dumps(CAPITAL) in deepseek["messages"][0]["content"]
    assert claude["messages"][-1]["role"] == "user"


def test_a_strict_schema_that_only_emulation_could_give_names_models_that_promise(wires: AIManager) -> None:
    strict = pb.OutputFormat(json_schema=pb.JsonSchema(schema_json=json.dumps(CAPITAL), strict=True))

    with pytest.raises(InvalidRequestError) as raised:
        wires.request("The capital as JSON", model=MODELS["deepseek"], output=strict)

    assert raised.value.reason == "CAPABILITY_UNSUPPORTED"
    assert [row.field for row in raised.value.fields] == ["output"]
    assert "claude/" in raised.value.context["models"] or "openai/" in raised.value.context["models"]


def test_a_strict_schema_that_a_provider_could_not_promise_is_refused(wires: AIManager) -> None:
    strict = pb.OutputFormat(json_schema=pb.JsonSchema(schema_json=json.dumps(LIMITED), strict=True))

    with pytest.raises(InvalidRequestError) as raised:
        wires.request("The capital as JSON", model=MODELS["claude"], output=strict)

    assert [row.field for row in raised.value.fields] == ["output"]


def test_the_mock_answers_any_schema(ai: AIManager) -> None:
    assert ai.request("Hi", output=CAPITAL).parsed == {"city": "text", "people": 0}
    assert ai.request("Hi", output=dict).parsed == {"answer": "This is JSON."}


def test_an_answer_that_was_cut_has_no_json_and_says_why(ai: AIManager) -> None:
    response = ai.request('[[reply: {"city": "Ro]] [[finish: max_tokens]]', output=CAPITAL)

    assert (response.parsed, response.finish_reason) == (None, "max_tokens")


def test_a_refusal_is_an_answer_without_json(ai: AIManager) -> None:
    response = ai.request("[[reply: I will not.]] [[finish: refusal]]", output=CAPITAL)

    assert (response.parsed, response.content, response.finish_reason) == (None, "I will not.", "refusal")


@pytest.mark.parametrize("schema", [{"type": "text"}, {"$ref": "https://example.com/"}, {"pattern": r"(a)\1"}])
def test_a_schema_that_cannot_be_used_is_refused_with_its_field(ai: AIManager, schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        ai.request("Hi", output=schema)

    assert [row.field for row in raised.value.fields] == ["output"]


def test_a_schema_made_to_take_for_ever_takes_no_time(ai: AIManager) -> None:
    fan = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n - 1}"}] * 10} for n in range(1, 12)}
    laughs = {"$defs": {"l0": {"type": "string"}, **fan}, "$ref": "#/$defs/l11"}

    with pytest.raises(InvalidRequestError):
        ai.request('[[reply: "x"]]', output=laughs, timeout=30)


def test_one_key_does_not_answer_for_two_formats(ai: AIManager) -> None:
    ai.request("Hi", output=CAPITAL, idempotency_key="test_structured_output")

    with pytest.raises(AIError):
        ai.request("Hi", output=dict, idempotency_key="test_structured_output")
    again = ai.request("Hi", output=CAPITAL, idempotency_key="test_structured_output")
    assert (again.from_cache, again.parsed) == (True, {"city": "text", "people": 0})
