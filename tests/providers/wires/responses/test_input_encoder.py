"""How a conversation becomes input items."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Attachment, Part, Reasoning, Text, ToolCall, ToolResult
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.responses import CALLS, THOUGHT, assistant, checked, items, question, sent, state, user

SENT_THOUGHT = {name: THOUGHT[name] for name in ("type", "summary", "id", "encrypted_content")}


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [item.get("type") or item["role"] for item in found]


def said(text: str, **more: str) -> dict[str, Any]:
    content = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [content], **more}


def test_reasoning_goes_back_before_the_item_it_led_to() -> None:
    found = items(user("a"), assistant(*CALLS), user(ToolResult("call_Rm1", "", "x"), ToolResult("call_Zh2", "", "y")))

    assert kinds(found)[1:6] == ["reasoning", "message", "function_call", "reasoning", "function_call"]
    assert found[1] == SENT_THOUGHT
    assert found[2] == said("I'll look up both.", phase="commentary")


@pytest.mark.parametrize(
    ("provider", "model"), [("claude", "claude-opus-5-5"), ("", ""), ("openai", "gpt-6-luna"), ("azure", "gpt-6.2-sol")]
)
def test_what_another_author_remembers_is_left_out(provider: str, model: str) -> None:
    found = items(user("a"), assistant(*CALLS, provider=provider, model=model), user("b"))

    assert kinds(found)[1:-1] == ["message", "function_call", "function_call"]
    assert found[1] == said("I'll look up both.")


def test_an_author_whose_model_was_not_named_is_the_same() -> None:
    found = items(user("a"), assistant(*CALLS[:2], model=""), user("b"))

    assert kinds(found) == ["user", "reasoning", "message", "user"]


def test_reasoning_that_led_to_nothing_is_left_out() -> None:
    found = items(user("a"), assistant(CALLS[0], "b", CALLS[0], Text("")), user("c"))

    assert kinds(found) == ["user", "reasoning", "message", "user"]


@pytest.mark.parametrize("bytes_", [b"", b"\xff\xfe", b"[]", b'"text"', b"{}", b'{"type":"message"}', b"not JSON"])
def test_a_state_that_is_none_of_ours_is_left_out(bytes_: bytes) -> None:
    found = items(user("a"), assistant(Reasoning("hm", provider_state=bytes_), Text("b", bytes_), "c"), user("d"))

    assert kinds(found) == ["user", "message", "user"]
    assert [content["text"] for content in found[1]["content"]] == ["b", "c"]


def test_raw_reasoning_goes_back_with_its_content() -> None:
    raw = {"type": "reasoning", "id": "rs_1", "summary": None, "content": [{"type": "reasoning_text", "text": "Hm."}]}

    found = items(user("a"), assistant(Reasoning("Hm.", provider_state=state(raw)), "b"), user("c"))

    assert found[1] == {**raw, "summary": []}


def test_texts_of_one_phase_are_one_message() -> None:
    comment, refusal = {"type": "output_text", "phase": "commentary"}, {"type": "refusal"}
    parts = (Text("a", state(comment)), Text("b", state(comment)), Text("c"), Text("d", state(refusal)))

    found = items(user("Hi"), assistant(*parts), user("Go on"))[1:-1]

    assert [item.get("phase") for item in found] == ["commentary", None]
    assert [[content["type"] for content in item["content"]] for item in found] == [
        ["output_text", "output_text"],
        ["output_text", "refusal"],
    ]
    assert found[1]["content"][1] == {"type": "refusal", "refusal": "d"}


def test_reasoning_parts_the_messages_around_it() -> None:
    found = items(user("a"), assistant("b", CALLS[0], "c"), user("d"))

    assert kinds(found) == ["user", "message", "reasoning", "message", "user"]


def test_arguments_go_as_the_model_wrote_them() -> None:
    calls = (ToolCall("x", "f", '{"a": NaN'), ToolCall("y", "f", ""))

    found = items(user("a"), assistant(*calls), user(ToolResult("x", "f", "1"), ToolResult("y", "f", "2")))

    assert [item["arguments"] for item in found[1:3]] == ['{"a": NaN', "{}"]
    assert [item["call_id"] for item in found[1:]] == ["x", "y", "x", "y"]


@pytest.mark.parametrize(
    ("result", "output"),
    [
        (ToolResult("x", "f", "sand"), "sand"),
        (ToolResult("x", "f", ""), ""),
        (ToolResult("x", "f", "gone", is_error=True), "Error: gone"),
        (
            ToolResult("x", "f", "", (Attachment("image/png", uri="https://a.example/x.png"),)),
            [{"type": "input_image", "image_url": "https://a.example/x.png", "detail": "auto"}],
        ),
    ],
)
def test_a_result_says_what_the_tool_said(result: ToolResult, output: Any) -> None:
    call = question(user("a"), assistant(ToolCall("x", "f", "{}")), user(result))

    body = sent(call)

    assert body["input"][-1] == {"type": "function_call_output", "call_id": "x", "output": output}
    assert checked(body) == body


def test_results_lead_the_turns_after_the_calls() -> None:
    found = items(user("a"), assistant(ToolCall("x", "f", "{}")), user("Wait."), user(ToolResult("x", "f", "1"), "Go."))

    assert kinds(found) == ["user", "function_call", "function_call_output", "user"]
    assert [content["text"] for content in found[-1]["content"]] == ["Wait.", "Go."]


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (
            Attachment("image/jpeg", data=b"\xff\xd8"),
            {"type": "input_image", "image_url": "data:image/jpeg;base64,/9g=", "detail": "auto"},
        ),
        (
            Attachment("application/pdf", "a.pdf", data=b"%PDF"),
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        ),
        (
            Attachment("application/pdf", "a.pdf", uri="https://a.example/a.pdf"),
            {"type": "input_file", "file_url": "https://a.example/a.pdf"},
        ),
        (Attachment("application/json", data=b"{}"), {"type": "input_text", "text": "{}"}),
        (Attachment("text/plain", "a.txt", data=b"caf\xc3\xa9"), {"type": "input_text", "text": "a.txt:\ncafé"}),
    ],
)
def test_a_file_goes_in_the_form_the_wire_has_for_it(part: Attachment, content: dict[str, Any]) -> None:
    body = sent(question(user(part)))

    assert body["input"] == [{"role": "user", "content": [content]}]
    assert checked(body) == body


def test_a_file_the_wire_cannot_carry_is_refused() -> None:
    with pytest.raises(CapabilityUnsupported, match="audio/wav"):
        sent(question(user(Attachment("audio/wav", data=b"RIFF"))))


@pytest.mark.parametrize("part", [Text(""), Attachment("image/png", data=b"x")])
def test_what_an_assistant_cannot_say_is_left_out(part: Part) -> None:
    assert kinds(items(user("a"), assistant(part), user("b", ""))) == ["user", "user"]
