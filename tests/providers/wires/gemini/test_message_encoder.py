"""Encoded messages of the Gemini API."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Attachment, Message, Reasoning, Text, ToolCall, ToolResult
from tests.support.gemini import (
    ASSISTANT_PARTS,
    RESULTS,
    SIGNATURE,
    assistant,
    read_stream,
    recorded_stream,
    sent_contents,
)
from tests.support.wire_cases import completed_parts, user

PLACEHOLDER = "skip_thought_signature_validator"
PNG = Attachment("image/png", data=b"\x89PNG")


def signatures(*turns: Message, **fields: Any) -> list[list[str | None]]:
    """Return the signatures of the function calls, by turn."""
    return [
        [part.get("thoughtSignature") for part in content["parts"] if "functionCall" in part]
        for content in sent_contents(*turns, **fields)
        if content["role"] == "model"
    ]


def test_turns_of_one_role_are_merged() -> None:
    encoded = sent_contents(
        user("a", ""), user("b"), assistant(""), user("c"), assistant("d"), assistant("e"), user("f")
    )

    assert [(turn["role"], [part["text"] for part in turn["parts"]]) for turn in encoded] == [
        ("user", ["a", "b", "c"]),
        ("model", ["d", "e"]),
        ("user", ["f"]),
    ]


@pytest.mark.parametrize("name", ["parallel_tools", "signed_text", "signed_thought"])
def test_signatures_return_on_their_parts(name: str) -> None:
    parts = completed_parts(read_stream(recorded_stream(name)))
    signed = [part for part in parts if part.provider_state]

    encoded = sent_contents(user("1"), assistant(*parts), user("2"))[1]["parts"]

    assert signed
    returned = {part["thoughtSignature"]: part for part in encoded if "thoughtSignature" in part}
    for part in signed:
        sent = returned.pop(part.provider_state.decode())
        if isinstance(part, ToolCall):
            assert sent["functionCall"]["id"] == part.id
        else:
            assert isinstance(part, Text | Reasoning)
            assert (sent["text"], sent.get("thought", False)) == (part.text, isinstance(part, Reasoning))
    assert returned == {}


@pytest.mark.parametrize(
    ("provider", "model"), [("gemini", "gemini-3.8-flash"), ("claude", "claude-opus-5-5"), ("", "")]
)
def test_signature_of_another_model_is_omitted(provider: str, model: str) -> None:
    turn = assistant(Reasoning("hm", provider_state=b"S1"), Text("a", b"S2"), provider=provider, model=model)

    assert sent_contents(user("1"), turn, user("2"))[1]["parts"] == [{"text": "a"}]


def test_signature_that_is_not_utf8_is_omitted() -> None:
    assert sent_contents(user("1"), assistant(Text("a", b"\xff\xfe")), user("2"))[1]["parts"] == [{"text": "a"}]


def test_empty_text_with_a_signature_is_sent() -> None:
    encoded = sent_contents(user("1"), assistant("a", Text("", b"Sig=")), user("2"))

    assert encoded[1]["parts"] == [{"text": "a"}, {"text": "", "thoughtSignature": "Sig="}]


def test_first_parallel_tool_call_of_another_model_gets_the_placeholder() -> None:
    turn = assistant(*ASSISTANT_PARTS, provider="openai", model="gpt-6.2-sol")

    assert signatures(user("1"), turn, user(*RESULTS)) == [[PLACEHOLDER, None]]


def test_existing_signature_is_not_replaced() -> None:
    assert signatures(user("1"), assistant(*ASSISTANT_PARTS), user(*RESULTS)) == [[SIGNATURE.decode(), None]]


def test_only_tool_calls_since_the_last_user_message_get_the_placeholder() -> None:
    def step(call_id: str) -> tuple[Message, Message]:
        return assistant(ToolCall(call_id, "f", "{}"), provider="claude"), user(ToolResult(call_id, "f", "ok"))

    encoded = signatures(user("1"), *step("a"), assistant("done"), user("2"), *step("b"), *step("c"))

    assert encoded == [[None], [], [PLACEHOLDER], [PLACEHOLDER]]


def test_models_without_signatures_get_no_placeholder() -> None:
    assert signatures(
        user("1"), assistant(ToolCall("a", "f", "{}")), user(ToolResult("a", "f", "ok")), model="gemini-2.5-pro"
    ) == [[None]]


def test_tool_results_come_first_with_the_function_name() -> None:
    encoded = sent_contents(user("1"), assistant(*ASSISTANT_PARTS), user("Quick!", *RESULTS), user("Please."))

    assert encoded[2]["parts"] == [
        {"functionResponse": {"id": "fc_zurich", "name": "get_weather", "response": {"result": "9 °C"}}},
        {"functionResponse": {"id": "fc_rome", "name": "get_weather", "response": {"error": "No idea."}}},
        {"text": "Quick!"},
        {"text": "Please."},
    ]


def test_tool_result_without_its_call_keeps_its_name() -> None:
    encoded = sent_contents(user("1"), assistant("a"), user(ToolResult("x", "look", "sand")))

    assert encoded[2]["parts"][0]["functionResponse"]["name"] == "look"


def test_older_models_get_tool_attachments_after_the_result() -> None:
    result = ToolResult("a", "look", "see", (PNG,))

    encoded = sent_contents(user("1"), assistant(ToolCall("a", "look", "{}")), user(result), model="gemini-2.5-flash")

    assert encoded[2]["parts"] == [
        {"functionResponse": {"id": "a", "name": "look", "response": {"result": "see"}}},
        {"text": "Files of the tool call a:"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
    ]


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("[1, 2]", {"arguments": [1, 2]}),
        ('{"a": 1', {"invalid_json": '{"a": 1'}),
    ],
)
def test_tool_arguments_are_sent_as_an_object(arguments: str, args: dict[str, Any]) -> None:
    encoded = sent_contents(user("1"), assistant(ToolCall("t", "f", arguments)), user(ToolResult("t", "f", "ok")))

    assert encoded[1]["parts"][0]["functionCall"]["args"] == args


def test_attachment_in_an_assistant_turn_is_omitted() -> None:
    assert sent_contents(user("1"), assistant("Here:", PNG), user("2"))[1]["parts"] == [{"text": "Here:"}]
