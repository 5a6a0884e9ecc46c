"""Request bodies of the chat-completions API."""

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
from tests.support.chat_completions import CANARY, assistant, chat_wire, make_attempt, sent_body
from tests.support.wire_cases import user

PNG = Attachment("image/png", "dot.png", data=b"\x89PNG")
PDF = Attachment("application/pdf", "", data=b"%PDF")
LOOK = Tool("look", "Looks.", '{"type":"object","properties":{"at":{"type":"string"}}}', strict=True)


def messages(*turns: Any, **more: Any) -> list[dict[str, Any]]:
    encoded: list[dict[str, Any]] = sent_body(make_attempt(*turns, **more))["messages"]
    return encoded


def test_unset_fields_are_omitted() -> None:
    assert sent_body(make_attempt()) == {"model": "some-model", "messages": [{"role": "user", "content": "Hi"}]}


def test_request_contains_url_and_key() -> None:
    request = chat_wire(headers={"X-Team": "blue"}).encode(make_attempt(), CANARY)

    assert (request.method, request.url) == ("POST", "https://upstream.test/v1/chat/completions")
    assert request.headers == {
        "X-Team": "blue",
        "Authorization": f"Bearer {CANARY}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert CANARY not in repr(request)


def test_without_a_key_no_key_header_is_sent() -> None:
    request = chat_wire().probe_request("")

    assert (request.method, request.url, request.headers) == ("GET", "https://upstream.test/v1/models", {})


def test_trailing_slash_of_the_base_url_is_ignored() -> None:
    assert chat_wire(base_url="https://upstream.test/v1/").probe_request("").url == "https://upstream.test/v1/models"


def test_streamed_call_requests_usage() -> None:
    body = sent_body(make_attempt(streaming=True))

    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_turns_follow_the_system_instruction_in_order() -> None:
    encoded = messages(user("1"), assistant("2"), user("3"), user("4"), system_instruction="Be brief.")

    assert encoded == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3"},
        {"role": "user", "content": "4"},
    ]


def test_tool_results_directly_follow_their_calls() -> None:
    encoded = messages(
        user("Look."),
        assistant(ToolCall("a", "look", '{"at":1}'), ToolCall("b", "look", "")),
        user("Well?", ToolResult("b", "look", "sand")),
        user(ToolResult("a", "look", "no light", is_error=True)),
    )

    assert encoded[1:] == [
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


def test_tool_attachments_follow_in_a_user_turn() -> None:
    encoded = messages(
        user("Look."), assistant(ToolCall("a", "look", "{}")), user(ToolResult("a", "look", "see", (PNG,)), "Well?")
    )

    assert encoded[2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "see"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Files of tool result 1 (look):"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            ],
        },
        {"role": "user", "content": "Well?"},
    ]


def test_texts_of_an_assistant_turn_are_joined() -> None:
    assert messages(user("1"), assistant("a", "b"))[1] == {"role": "assistant", "content": "ab"}


@pytest.mark.parametrize("part", [Reasoning("Hm."), Text("")])
def test_assistant_turn_without_content_is_omitted(part: Part) -> None:
    assert len(messages(user("1"), assistant(part), user("2"))) == 2


def test_empty_user_turn_is_omitted() -> None:
    assert len(messages(user("1"), user(""))) == 1


def test_reasoning_is_omitted_by_default() -> None:
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
def test_attachment_is_encoded_by_its_type(part: Attachment, content: dict[str, Any]) -> None:
    assert messages(user("See:", part))[0]["content"] == [{"type": "text", "text": "See:"}, content]


@pytest.mark.parametrize(
    "part", [Attachment("application/pdf", uri="https://a/b"), Attachment("audio/wav", data=b"RIFF")]
)
def test_unsupported_attachment_is_rejected(part: Attachment) -> None:
    with pytest.raises(CapabilityUnsupported, match=part.mime_type):
        messages(user(part))


def test_sampling_options_are_encoded() -> None:
    body = sent_body(make_attempt(sampling=Sampling(7, 0.0, 0.5, 3, 0, ("END",))))

    assert body | {"messages": []} == {
        "model": "some-model",
        "messages": [],
        "max_tokens": 7,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "seed": 0,
        "stop": ["END"],
    }


def test_efforts_are_sent_by_name() -> None:
    bodies = {effort: sent_body(make_attempt(reasoning=ReasoningOptions(effort))) for effort in Effort}

    assert {effort: body["reasoning_effort"] for effort, body in bodies.items()} == {
        effort: effort.label for effort in Effort
    }


def test_tools_are_encoded_as_functions() -> None:
    body = sent_body(make_attempt(tools=(LOOK, Tool("stop"))))

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
def test_tool_choice_is_sent_only_with_tools(choice: ToolChoice, fields: dict[str, Any]) -> None:
    body = sent_body(make_attempt(tools=(LOOK,), tool_choice=choice))
    without_tools = sent_body(make_attempt(tool_choice=choice))

    assert {name: body[name] for name in fields} == fields
    assert without_tools.keys() == {"model", "messages"}


def test_native_options_of_the_call_override_those_of_the_operator() -> None:
    options = {"a": {"call": 1, "both": "call"}, "stop": None, "stream": True}
    body = sent_body(
        make_attempt(sampling=Sampling(stop_sequences=("END",)), options=options),
        options={"a": {"both": "operator", "operator": 1}, "user": "x"},
    )

    assert body == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "Hi"}],
        "a": {"call": 1, "both": "call", "operator": 1},
        "user": "x",
    }


def test_native_option_can_remove_stream_options() -> None:
    assert "stream_options" not in sent_body(make_attempt(streaming=True), options={"stream_options": None})
