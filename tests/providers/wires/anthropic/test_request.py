"""Request bodies of the Messages API."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import (
    Attachment,
    Effort,
    Reasoning,
    ReasoningOptions,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from tests.support.anthropic import (
    ASSISTANT_PARTS,
    CASES,
    RECORDED_ATTEMPTS,
    anthropic_wire,
    assistant,
    make_attempt,
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


def test_sdk_types_reject_a_wrong_type() -> None:
    body = sent_body(RECORDED_ATTEMPTS["text"])
    body["messages"][0]["content"][0]["text"] = 5

    with pytest.raises(ValueError, match="text"):
        validated_by_sdk(body)


def test_request_contains_key_and_version() -> None:
    request = anthropic_wire(headers={"anthropic-beta": "a"}).encode(make_attempt(), "sk-ant-canary")

    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert dict(request.headers) == {
        "anthropic-beta": "a",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-ant-canary",
        "accept": "application/json",
        "content-type": "application/json",
    }
    assert "canary" not in repr(request)


def test_without_a_key_no_key_header_is_sent() -> None:
    request = anthropic_wire(api_version="2026-10-21").encode(make_attempt(streaming=True), "")

    assert "x-api-key" not in request.headers
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["accept"] == "text/event-stream"


def test_probe_requests_one_model() -> None:
    request = anthropic_wire("https://stand-in.example/anthropic/v1/").probe_request("key")

    assert (request.method, request.url) == ("GET", "https://stand-in.example/anthropic/v1/models?limit=1")
    assert request.headers["x-api-key"] == "key"
    assert request.body == b""


def test_turns_of_one_role_are_merged_and_empty_texts_dropped() -> None:
    body = sent_body(
        make_attempt(user("a", ""), user("b"), assistant(""), user("c"), assistant("d"), assistant("e"), user("f"))
    )

    turns = [(turn["role"], [block["text"] for block in turn["content"]]) for turn in body["messages"]]
    assert turns == [("user", ["a", "b", "c"]), ("assistant", ["d", "e"]), ("user", ["f"])]


def test_user_turn_is_inserted_before_a_leading_assistant_turn() -> None:
    body = sent_body(make_attempt(assistant("Welcome!"), user("Hi")))

    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "(The conversation begins here.)"}]


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-6.2-sol"), ("", ""), ("claude", "claude-opus-5-5")])
def test_reasoning_of_another_model_is_omitted(provider: str, model: str) -> None:
    body = sent_body(
        make_attempt(user("a"), assistant(*ASSISTANT_PARTS[:3], provider=provider, model=model), user("b"))
    )

    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]


@pytest.mark.parametrize("state", [b"", b"\xff\xfe"])
def test_unsigned_reasoning_is_omitted(state: bytes) -> None:
    body = sent_body(make_attempt(user("a"), assistant(Reasoning("hm", provider_state=state), "b"), user("c")))

    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]


def test_signed_reasoning_without_text_is_sent() -> None:
    body = sent_body(make_attempt(user("a"), assistant(Reasoning("", provider_state=b"Sig="), "b"), user("c")))

    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "", "signature": "Sig="}


def test_tool_call_without_a_result_gets_an_error_result() -> None:
    body = sent_body(
        make_attempt(user("a"), assistant(*ASSISTANT_PARTS), user("Never mind", ToolResult("toolu_01B", "", "ok")))
    )

    assert body["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "toolu_01A",
            "content": "No result was given for this call.",
            "is_error": True,
        },
        {"type": "tool_result", "tool_use_id": "toolu_01B", "content": "ok"},
        {"type": "text", "text": "Never mind"},
    ]
    assert validated_by_sdk(body) == body


def test_empty_tool_result_has_no_content() -> None:
    picture = Attachment("image/png", data=b"x")
    body = sent_body(
        make_attempt(
            user("a"),
            assistant(*ASSISTANT_PARTS),
            user(ToolResult("toolu_01A", "", ""), ToolResult("toolu_01B", "", "", attachments=(picture,))),
        )
    )

    empty, with_image = body["messages"][2]["content"]
    assert empty == {"type": "tool_result", "tool_use_id": "toolu_01A"}
    assert [block["type"] for block in with_image["content"]] == ["image"]


@pytest.mark.parametrize(
    ("arguments", "encoded"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('"text"', {"arguments": "text"}),
        ('"[1]"', {"arguments": "[1]"}),
        ("[1, 2]", {"arguments": [1, 2]}),
        ("null", {"arguments": None}),
        ('{"a": 1', {"invalid_json": '{"a": 1'}),
        ('{"a": NaN}', {"invalid_json": '{"a": NaN}'}),
    ],
)
def test_tool_arguments_are_sent_as_an_object(arguments: str, encoded: dict[str, Any]) -> None:
    body = sent_body(
        make_attempt(user("a"), assistant(ToolCall("t", "f", arguments)), user(ToolResult("t", "f", "ok")))
    )

    assert body["messages"][1]["content"][0]["input"] == encoded


def test_attachment_in_an_assistant_turn_is_omitted() -> None:
    body = sent_body(make_attempt(user("a"), assistant(Text("Here:"), Attachment("image/png", data=b"x")), user("b")))

    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]


@pytest.mark.parametrize(
    ("choice", "encoded"),
    [
        (ToolChoice(), None),
        (ToolChoice(parallel=True), None),
        (ToolChoice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.AUTO), {"type": "auto"}),
        (ToolChoice(ToolMode.REQUIRED, parallel=False), {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(ToolMode.NONE, parallel=False), {"type": "none"}),
        (ToolChoice(tool_name="f"), {"type": "tool", "name": "f"}),
        (ToolChoice(tool_name="f", parallel=False), {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
    ],
)
def test_tool_choice_is_encoded(choice: ToolChoice, encoded: dict[str, Any] | None) -> None:
    body = sent_body(make_attempt(tools=(Tool("f"),), tool_choice=choice))

    assert body.get("tool_choice") == encoded
    assert validated_by_sdk(body) == body


def test_tool_choice_is_omitted_without_tools() -> None:
    body = sent_body(make_attempt(tool_choice=ToolChoice(ToolMode.NONE)))

    assert "tools" not in body
    assert "tool_choice" not in body


def test_native_options_of_the_call_override_those_of_the_operator() -> None:
    operator_options = {"service_tier": "auto", "metadata": {"user_id": "all"}, "stream": True}
    call_options = {
        "metadata": {"user_id": "ann"},
        "output_config": {"format": {"type": "json_schema"}},
        "max_tokens": None,
    }

    body = sent_body(
        make_attempt(reasoning=ReasoningOptions(Effort.LOW), options=call_options),
        anthropic_wire(options=operator_options),
    )

    assert body["service_tier"] == "auto"
    assert body["metadata"] == {"user_id": "ann"}
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema"}}
    assert "max_tokens" not in body
    assert "stream" not in body


def test_empty_conversation_stays_empty() -> None:
    assert sent_body(make_attempt(user("")))["messages"] == []
