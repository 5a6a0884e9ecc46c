from __future__ import annotations

import json
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
from tests.support.anthropic import CALLS, FIXTURES, QUESTIONS, assistant, checked, claude, question, sent, user


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_body_is_sent_as_recorded(name: str) -> None:
    recorded = json.loads((FIXTURES / name / "request.json").read_text())

    assert sent(QUESTIONS[name]) == recorded


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_body_is_what_the_vendors_client_would_send(name: str) -> None:
    body = sent(QUESTIONS[name])

    assert checked(body) == body


def test_the_check_against_the_vendors_types_can_fail() -> None:
    body = sent(QUESTIONS["text"])
    body["messages"][0]["content"][0]["text"] = 5

    with pytest.raises(ValueError, match="text"):
        checked(body)


def test_a_request_carries_key_and_version() -> None:
    request = claude(headers={"anthropic-beta": "a"}).encode(question(), "sk-ant-canary")

    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert dict(request.headers) == {
        "anthropic-beta": "a",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-ant-canary",
        "accept": "application/json",
        "content-type": "application/json",
    }
    assert "canary" not in repr(request)


def test_without_a_key_no_key_is_sent() -> None:
    request = claude(version="2026-10-21").encode(question(streaming=True), "")

    assert "x-api-key" not in request.headers
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["accept"] == "text/event-stream"


def test_a_probe_asks_for_one_model() -> None:
    request = claude("https://stand-in.example/anthropic/v1/").probe("key")

    assert (request.method, request.url) == ("GET", "https://stand-in.example/anthropic/v1/models?limit=1")
    assert request.headers["x-api-key"] == "key"
    assert request.body == b""


def test_neighbours_of_one_role_are_merged_and_empty_texts_dropped() -> None:
    body = sent(question(user("a", ""), user("b"), assistant(""), user("c"), assistant("d"), assistant("e"), user("f")))

    turns = [(turn["role"], [block["text"] for block in turn["content"]]) for turn in body["messages"]]
    assert turns == [("user", ["a", "b", "c"]), ("assistant", ["d", "e"]), ("user", ["f"])]


def test_the_first_turn_is_the_users() -> None:
    body = sent(question(assistant("Welcome!"), user("Hi")))

    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "(The conversation begins here.)"}]


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-6.2-sol"), ("", ""), ("claude", "claude-opus-5-5")])
def test_reasoning_of_another_author_is_left_out(provider: str, model: str) -> None:
    body = sent(question(user("a"), assistant(*CALLS[:3], provider=provider, model=model), user("b")))

    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]


@pytest.mark.parametrize("state", [b"", b"\xff\xfe"])
def test_reasoning_without_a_signature_is_left_out(state: bytes) -> None:
    body = sent(question(user("a"), assistant(Reasoning("hm", provider_state=state), "b"), user("c")))

    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]


def test_reasoning_that_was_not_shown_keeps_its_signature() -> None:
    body = sent(question(user("a"), assistant(Reasoning("", provider_state=b"Sig="), "b"), user("c")))

    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "", "signature": "Sig="}


def test_a_call_nobody_answered_gets_an_error_result() -> None:
    body = sent(question(user("a"), assistant(*CALLS), user("Never mind", ToolResult("toolu_01B", "", "ok"))))

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
    assert checked(body) == body


def test_a_result_that_says_nothing_has_no_content() -> None:
    picture = Attachment("image/png", data=b"x")
    body = sent(
        question(
            user("a"),
            assistant(*CALLS),
            user(ToolResult("toolu_01A", "", ""), ToolResult("toolu_01B", "", "", attachments=(picture,))),
        )
    )

    silent, shown = body["messages"][2]["content"]
    assert silent == {"type": "tool_result", "tool_use_id": "toolu_01A"}
    assert [block["type"] for block in shown["content"]] == ["image"]


@pytest.mark.parametrize(
    ("arguments", "sent_input"),
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
def test_arguments_are_sent_as_an_object_whatever_the_model_wrote(arguments: str, sent_input: dict[str, Any]) -> None:
    body = sent(question(user("a"), assistant(ToolCall("t", "f", arguments)), user(ToolResult("t", "f", "ok"))))

    assert body["messages"][1]["content"][0]["input"] == sent_input


def test_a_file_in_an_assistant_turn_is_left_out() -> None:
    body = sent(question(user("a"), assistant(Text("Here:"), Attachment("image/png", data=b"x")), user("b")))

    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]


@pytest.mark.parametrize(
    ("choice", "chosen"),
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
def test_a_tool_choice_has_a_word_for_each_mode(choice: ToolChoice, chosen: dict[str, Any] | None) -> None:
    body = sent(question(tools=(Tool("f"),), tool_choice=choice))

    assert body.get("tool_choice") == chosen
    assert checked(body) == body


def test_without_tools_no_choice_is_sent() -> None:
    body = sent(question(tool_choice=ToolChoice(ToolMode.NONE)))

    assert "tools" not in body
    assert "tool_choice" not in body


def test_options_are_merged_last_and_the_callers_beat_the_operators() -> None:
    operator = {"service_tier": "auto", "metadata": {"user_id": "all"}, "stream": True}
    own = {"metadata": {"user_id": "ann"}, "output_config": {"format": {"type": "json_schema"}}, "max_tokens": None}

    body = sent(
        question(reasoning=ReasoningOptions(Effort.LOW), options=own),
        claude(options=operator),
    )

    assert body["service_tier"] == "auto"
    assert body["metadata"] == {"user_id": "ann"}
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema"}}
    assert "max_tokens" not in body
    assert "stream" not in body


def test_without_messages_none_are_made_up() -> None:
    assert sent(question(user("")))["messages"] == []
