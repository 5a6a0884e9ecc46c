"""What is sent to servers of the chat-completions wire."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import (
    Attachment,
    Effort,
    Part,
    Reasoning,
    ReasoningOptions,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.chat_completions import CANARY, assistant, dialect, question, sent, user

PNG = Attachment("image/png", "dot.png", data=b"\x89PNG")
PDF = Attachment("application/pdf", "", data=b"%PDF")
LOOK = Tool("look", "Looks.", '{"type":"object","properties":{"at":{"type":"string"}}}', strict=True)


def messages(*turns: Any, **more: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = sent(question(*turns, **more))["messages"]
    return said


def test_a_plain_question_says_only_what_was_asked() -> None:
    assert sent(question()) == {"model": "some-model", "messages": [{"role": "user", "content": "Hi"}]}


def test_the_request_goes_to_the_right_place_with_the_key() -> None:
    request = dialect(headers={"X-Team": "blue"}).encode(question(), CANARY)

    assert (request.method, request.url) == ("POST", "https://upstream.test/v1/chat/completions")
    assert request.headers == {
        "X-Team": "blue",
        "Authorization": f"Bearer {CANARY}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert CANARY not in repr(request)


def test_without_a_key_nothing_authorizes() -> None:
    request = dialect().probe("")

    assert (request.method, request.url, request.headers) == ("GET", "https://upstream.test/v1/models", {})


def test_a_slash_after_the_base_url_does_no_harm() -> None:
    assert dialect(base_url="https://upstream.test/v1/").probe("").url == "https://upstream.test/v1/models"


def test_a_streamed_question_asks_for_usage() -> None:
    body = sent(question(streaming=True))

    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_turns_keep_their_order_after_the_instruction() -> None:
    said = messages(user("1"), assistant("2"), user("3"), user("4"), system_instruction="Be brief.")

    assert said == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3"},
        {"role": "user", "content": "4"},
    ]


def test_results_of_tools_come_directly_after_their_calls() -> None:
    said = messages(
        user("Look."),
        assistant(ToolCall("a", "look", '{"at":1}'), ToolCall("b", "look", "")),
        user("Well?", ToolResult("b", "look", "sand")),
        user(ToolResult("a", "look", "no light", is_error=True)),
    )

    assert said[1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
                {"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": "sand"},
        {"role": "tool", "tool_call_id": "a", "content": "Error: no light"},
        {"role": "user", "content": "Well?"},
    ]


def test_files_of_a_tool_follow_its_result_in_a_user_turn() -> None:
    said = messages(
        user("Look."), assistant(ToolCall("a", "look", "{}")), user(ToolResult("a", "look", "see", (PNG,)), "Well?")
    )

    assert said[2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "see"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Files of the tool call a:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            ],
        },
        {"role": "user", "content": "Well?"},
    ]


def test_texts_of_an_assistant_turn_are_one_text() -> None:
    assert messages(user("1"), assistant("a", "b"))[1] == {"role": "assistant", "content": "ab"}


@pytest.mark.parametrize("part", [Reasoning("Hm."), Text("")])
def test_an_assistant_turn_that_says_nothing_is_left_out(part: Part) -> None:
    assert len(messages(user("1"), assistant(part), user("2"))) == 2


def test_an_empty_user_turn_is_left_out() -> None:
    assert len(messages(user("1"), user(""))) == 1


def test_reasoning_is_not_sent_to_those_who_never_asked_for_it() -> None:
    assert messages(user("1"), assistant(Reasoning("Hm."), "2"))[1] == {"role": "assistant", "content": "2"}


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (PNG, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}),
        (Attachment("image/png", uri="https://a/b"), {"type": "image_url", "image_url": {"url": "https://a/b"}}),
        (PDF, {"type": "file", "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}),
        (Attachment("text/csv", "a.csv", data=b"1,2"), {"type": "text", "text": "a.csv:\n1,2"}),
        (Attachment("application/json", data=b"{}"), {"type": "text", "text": "{}"}),
    ],
)
def test_a_file_goes_in_the_form_the_wire_has_for_it(part: Attachment, content: dict[str, Any]) -> None:
    assert messages(user("See:", part))[0]["content"] == [{"type": "text", "text": "See:"}, content]


@pytest.mark.parametrize(
    "part", [Attachment("application/pdf", uri="https://a/b"), Attachment("audio/wav", data=b"RIFF")]
)
def test_a_file_the_wire_cannot_carry_is_refused(part: Attachment) -> None:
    with pytest.raises(CapabilityUnsupported, match=part.mime_type):
        messages(user(part))


def test_sampling_goes_out_under_its_names() -> None:
    body = sent(question(sampling=Sampling(7, 0.0, 0.5, 3, 0, ("END",))))

    assert body | {"messages": []} == {
        "model": "some-model",
        "messages": [],
        "max_tokens": 7,
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 0,
        "stop": ["END"],
    }


@pytest.mark.parametrize("effort", list(Effort))
def test_effort_is_spelled_as_everywhere(effort: Effort) -> None:
    assert sent(question(reasoning=ReasoningOptions(effort)))["reasoning_effort"] == effort.label


def test_tools_go_out_as_functions() -> None:
    body = sent(question(tools=(LOOK, Tool("stop"))))

    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "Looks.",
                "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
                "strict": True,
            },
        },
        {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("choice", "fields"),
    [
        (ToolChoice(ToolMode.AUTO), {"tool_choice": "auto"}),
        (ToolChoice(ToolMode.REQUIRED), {"tool_choice": "required"}),
        (ToolChoice(ToolMode.NONE), {"tool_choice": "none"}),
        (ToolChoice(tool_name="look"), {"tool_choice": {"type": "function", "function": {"name": "look"}}}),
        (ToolChoice(parallel=False), {"parallel_tool_calls": False}),
    ],
)
def test_a_choice_of_tools_goes_out_with_them_only(choice: ToolChoice, fields: dict[str, Any]) -> None:
    body, bare = sent(question(tools=(LOOK,), tool_choice=choice)), sent(question(tool_choice=choice))

    assert {name: body[name] for name in fields} == fields
    assert bare.keys() == {"model", "messages"}


def test_options_are_laid_over_the_body_the_calls_own_last() -> None:
    options = {"a": {"call": 1, "both": "call"}, "stop": None, "stream": True}
    body = sent(
        question(sampling=Sampling(stop_sequences=("END",)), options=options),
        options={"a": {"both": "operator", "operator": 1}, "user": "x"},
    )

    assert body == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "Hi"}],
        "a": {"call": 1, "both": "call", "operator": 1},
        "user": "x",
    }


def test_an_operator_can_leave_usage_out_for_a_server_that_refuses_it() -> None:
    assert "stream_options" not in sent(question(streaming=True), options={"stream_options": None})
