"""What is sent on the Responses wire."""

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
from tests.support.responses import CLOSED, FIXTURES, QUESTIONS, checked, question, responses, sent, user


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_body_is_sent_as_recorded(name: str) -> None:
    recorded = json.loads((FIXTURES / name / "request.json").read_text())

    assert sent(QUESTIONS[name]) == recorded


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_body_is_what_the_vendors_client_would_send(name: str) -> None:
    body = sent(QUESTIONS[name])

    assert checked(body) == body


@pytest.mark.parametrize(("item", "field"), [(0, "role"), (1, "summary"), (3, "call_id"), (6, "output")])
def test_the_check_against_the_vendors_types_can_fail(item: int, field: str) -> None:
    body = sent(QUESTIONS["parallel_tools"])
    body["input"][item][field] = 5

    with pytest.raises(ValueError, match="validation error"):
        assert checked(body)


def test_a_request_carries_the_key() -> None:
    request = responses(headers={"OpenAI-Project": "p"}).encode(question(), "sk-canary")

    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")
    assert dict(request.headers) == {
        "OpenAI-Project": "p",
        "Authorization": "Bearer sk-canary",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    assert "canary" not in repr(request)


def test_without_a_key_no_key_is_sent() -> None:
    request = responses().encode(question(streaming=True), "")

    assert "Authorization" not in request.headers
    assert request.headers["Accept"] == "text/event-stream"


def test_a_probe_asks_for_the_models() -> None:
    request = responses("http://127.0.0.1:8000/v1/").probe("key")

    assert (request.method, request.url, request.body) == ("GET", "http://127.0.0.1:8000/v1/models", b"")
    assert request.headers["Authorization"] == "Bearer key"


def test_nothing_is_stored_and_reasoning_comes_along() -> None:
    body = sent(question())

    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body.keys() == {"model", "input", "store", "include"}


@pytest.mark.parametrize(("model", "included"), [("gpt-4o", False), ("something-new", True)])
def test_a_model_that_does_not_think_is_not_asked_for_reasoning(model: str, included: bool) -> None:
    assert ("include" in sent(question(model=model))) == included


def test_what_the_wire_has_no_field_for_is_left_out() -> None:
    body = sent(question(sampling=Sampling(top_k=4, seed=7, stop_sequences=("END",))))

    assert body.keys() == {"model", "input", "store", "include"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (ReasoningOptions(), None),
        (ReasoningOptions(Effort.XHIGH), {"effort": "xhigh"}),
        (ReasoningOptions(include=True), {"summary": "auto"}),
        (ReasoningOptions(Effort.NONE, include=True), {"effort": "none", "summary": "auto"}),
    ],
)
def test_reasoning_is_said_as_it_was_asked(asked: ReasoningOptions, said: dict[str, str] | None) -> None:
    assert sent(question(reasoning=asked)).get("reasoning") == said


def test_strictness_is_always_said_since_it_is_assumed() -> None:
    tools = sent(question(tools=(Tool("a"), Tool("b", "Does b.", '{"type":"object"}', strict=True))))["tools"]

    nothing = {"type": "object", "properties": {}}
    assert tools == [
        {"type": "function", "name": "a", "parameters": nothing, "strict": False},
        {"type": "function", "name": "b", "description": "Does b.", "parameters": {"type": "object"}, "strict": True},
    ]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ToolChoice(), {}),
        (ToolChoice(parallel=True), {"parallel_tool_calls": True}),
        (ToolChoice(ToolMode.AUTO, parallel=False), {"tool_choice": "auto", "parallel_tool_calls": False}),
        (ToolChoice(ToolMode.REQUIRED), {"tool_choice": "required"}),
        (ToolChoice(ToolMode.NONE), {"tool_choice": "none"}),
        (ToolChoice(tool_name="f"), {"tool_choice": {"type": "function", "name": "f"}}),
    ],
)
def test_a_tool_choice_has_a_word_for_each_mode(choice: ToolChoice, said: dict[str, Any]) -> None:
    body = sent(question(tools=(Tool("f"),), tool_choice=choice))

    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == said
    assert checked(body) == body


def test_without_tools_no_choice_is_sent() -> None:
    body = sent(question(tool_choice=ToolChoice(ToolMode.NONE, parallel=False)))

    assert body.keys().isdisjoint(("tools", "tool_choice", "parallel_tool_calls"))


def test_a_schema_is_said_flat() -> None:
    body = sent(question(output_format=JsonSchemaFormat("city", CLOSED)))

    assert body["text"] == {
        "format": {"type": "json_schema", "name": "city", "schema": json.loads(CLOSED), "strict": True}
    }


def test_a_schema_that_cannot_be_promised_is_left_to_be_asked_for_in_words() -> None:
    with pytest.raises(CapabilityUnsupported, match="output_format"):
        sent(question(output_format=JsonSchemaFormat("city", '{"type":"object"}')))


@pytest.mark.parametrize(("text", "hinted"), [("List three.", True), ("List three as Json.", False)])
def test_json_is_spoken_of_where_it_is_asked_for(text: str, hinted: bool) -> None:
    body = sent(question(user(text), system_instruction="Use JSON.", output_format=JsonObjectFormat()))

    assert body["text"] == {"format": {"type": "json_object"}}
    assert (body["input"][0]["role"] == "developer") == hinted


def test_options_are_merged_last_and_the_callers_beat_the_operators() -> None:
    operator = {"service_tier": "flex", "metadata": {"by": "all"}, "stream": True, "stream_options": {}}
    own = {"metadata": {"by": "ann"}, "reasoning": {"mode": "pro"}, "include": None}

    body = sent(question(reasoning=ReasoningOptions(Effort.LOW), options=own), responses(options=operator))

    assert (body["service_tier"], body["metadata"]) == ("flex", {"by": "ann"})
    assert body["reasoning"] == {"effort": "low", "mode": "pro"}
    assert body.keys().isdisjoint(("include", "stream", "stream_options"))


def test_a_stream_keeps_its_options() -> None:
    body = sent(question(streaming=True, options={"stream_options": {"include_obfuscation": False}, "stream": False}))

    assert (body["stream"], body["stream_options"]) == (True, {"include_obfuscation": False})
