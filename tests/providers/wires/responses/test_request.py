"""Request bodies of the Responses API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import (
    Effort,
    JsonObjectFormat,
    JsonSchemaFormat,
    ReasoningOptions,
    Sampling,
    Tool,
    ToolChoice,
    ToolMode,
)
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.responses import (
    CASES,
    CLOSED,
    RECORDED_ATTEMPTS,
    make_attempt,
    responses_wire,
    sent_body,
    validated_by_sdk,
)
from tests.support.wire_cases import user


def test_bodies_match_the_recordings() -> None:
    bodies = {name: sent_body(call) for name, call in RECORDED_ATTEMPTS.items()}

    assert bodies == {name: CASES.request(name) for name in RECORDED_ATTEMPTS}


def test_bodies_match_the_sdk_types() -> None:
    bodies = {name: sent_body(call) for name, call in RECORDED_ATTEMPTS.items()}

    assert {name: validated_by_sdk(body) for name, body in bodies.items()} == bodies


@pytest.mark.parametrize(("item", "field"), [(0, "role"), (1, "summary"), (3, "call_id"), (6, "output")])
def test_sdk_types_reject_a_wrong_type(item: int, field: str) -> None:
    body = sent_body(RECORDED_ATTEMPTS["parallel_tools"])
    body["input"][item][field] = 5

    with pytest.raises(ValueError, match="validation error"):
        assert validated_by_sdk(body)


def test_request_contains_the_key() -> None:
    request = responses_wire(headers={"OpenAI-Project": "p"}).encode(make_attempt(), "sk-canary")

    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")
    assert dict(request.headers) == {
        "OpenAI-Project": "p",
        "Authorization": "Bearer sk-canary",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    assert "canary" not in repr(request)


def test_without_a_key_no_key_header_is_sent() -> None:
    request = responses_wire().encode(make_attempt(streaming=True), "")

    assert "Authorization" not in request.headers
    assert request.headers["Accept"] == "text/event-stream"


def test_probe_requests_the_model_list() -> None:
    request = responses_wire("http://127.0.0.1:8000/v1/").probe_request("key")

    assert (request.method, request.url, request.body) == ("GET", "http://127.0.0.1:8000/v1/models", b"")
    assert request.headers["Authorization"] == "Bearer key"


def test_responses_are_not_stored_and_reasoning_is_included() -> None:
    body = sent_body(make_attempt())

    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body.keys() == {"model", "input", "store", "include"}


@pytest.mark.parametrize(("model", "included"), [("gpt-4o", False), ("something-new", True)])
def test_reasoning_is_not_included_for_other_models(model: str, included: bool) -> None:
    assert ("include" in sent_body(make_attempt(model=model))) == included


def test_unsupported_sampling_options_are_omitted() -> None:
    body = sent_body(make_attempt(sampling=Sampling(top_k=4, seed=7, stop_sequences=("END",))))

    assert body.keys() == {"model", "input", "store", "include"}


@pytest.mark.parametrize(
    ("reasoning", "encoded"),
    [
        (ReasoningOptions(), None),
        (ReasoningOptions(Effort.XHIGH), {"effort": "xhigh"}),
        (ReasoningOptions(include=True), {"summary": "auto"}),
        (ReasoningOptions(Effort.NONE, include=True), {"effort": "none", "summary": "auto"}),
    ],
)
def test_reasoning_options_are_encoded(reasoning: ReasoningOptions, encoded: dict[str, str] | None) -> None:
    assert sent_body(make_attempt(reasoning=reasoning)).get("reasoning") == encoded


def test_strict_is_always_sent() -> None:
    tools = sent_body(make_attempt(tools=(Tool("a"), Tool("b", "Does b.", '{"type":"object"}', strict=True))))["tools"]

    no_arguments = {"type": "object", "properties": {}}
    assert tools == [
        {"type": "function", "name": "a", "parameters": no_arguments, "strict": False},
        {"type": "function", "name": "b", "description": "Does b.", "parameters": {"type": "object"}, "strict": True},
    ]


@pytest.mark.parametrize(
    ("choice", "encoded"),
    [
        (ToolChoice(), {}),
        (ToolChoice(parallel=True), {"parallel_tool_calls": True}),
        (ToolChoice(ToolMode.AUTO, parallel=False), {"tool_choice": "auto", "parallel_tool_calls": False}),
        (ToolChoice(ToolMode.REQUIRED), {"tool_choice": "required"}),
        (ToolChoice(ToolMode.NONE), {"tool_choice": "none"}),
        (ToolChoice(tool_name="f"), {"tool_choice": {"type": "function", "name": "f"}}),
    ],
)
def test_tool_choice_is_encoded(choice: ToolChoice, encoded: dict[str, Any]) -> None:
    body = sent_body(make_attempt(tools=(Tool("f"),), tool_choice=choice))

    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == encoded
    assert validated_by_sdk(body) == body


def test_tool_choice_is_omitted_without_tools() -> None:
    body = sent_body(make_attempt(tool_choice=ToolChoice(ToolMode.NONE, parallel=False)))

    assert body.keys().isdisjoint(("tools", "tool_choice", "parallel_tool_calls"))


def test_json_schema_is_encoded() -> None:
    body = sent_body(make_attempt(output_format=JsonSchemaFormat("city", CLOSED)))

    assert body["text"] == {
        "format": {"type": "json_schema", "name": "city", "schema": json.loads(CLOSED), "strict": True}
    }


def test_unsupported_json_schema_is_rejected() -> None:
    with pytest.raises(CapabilityUnsupported, match="output_format"):
        sent_body(make_attempt(output_format=JsonSchemaFormat("city", '{"type":"object"}')))


@pytest.mark.parametrize(("text", "is_instructed"), [("List three.", True), ("List three as Json.", False)])
def test_json_instruction_is_added_unless_a_message_mentions_json(text: str, is_instructed: bool) -> None:
    body = sent_body(make_attempt(user(text), system_instruction="Use JSON.", output_format=JsonObjectFormat()))

    assert body["text"] == {"format": {"type": "json_object"}}
    assert (body["input"][0]["role"] == "developer") == is_instructed


def test_native_options_of_the_call_override_those_of_the_operator() -> None:
    operator_options = {"service_tier": "flex", "metadata": {"by": "all"}, "stream": True, "stream_options": {}}
    call_options = {"metadata": {"by": "ann"}, "reasoning": {"mode": "pro"}, "include": None}

    body = sent_body(
        make_attempt(reasoning=ReasoningOptions(Effort.LOW), options=call_options),
        responses_wire(options=operator_options),
    )

    assert (body["service_tier"], body["metadata"]) == ("flex", {"by": "ann"})
    assert body["reasoning"] == {"effort": "low", "mode": "pro"}
    assert body.keys().isdisjoint(("include", "stream", "stream_options"))


def test_stream_options_are_kept_on_streams() -> None:
    body = sent_body(
        make_attempt(streaming=True, options={"stream_options": {"include_obfuscation": False}, "stream": False})
    )

    assert (body["stream"], body["stream_options"]) == (True, {"include_obfuscation": False})
