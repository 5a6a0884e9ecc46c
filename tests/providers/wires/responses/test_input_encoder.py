"""Encoded input items of the Responses API."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Attachment, Part, Reasoning, Text, ToolCall, ToolResult
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.responses import (
    ASSISTANT_PARTS,
    REASONING_ITEM,
    assistant,
    encode_state,
    make_attempt,
    sent_body,
    sent_input,
    validated_by_sdk,
)
from tests.support.wire_cases import user

SENT_REASONING = {name: REASONING_ITEM[name] for name in ("type", "summary", "id", "encrypted_content")}


def types_of(items: list[dict[str, Any]]) -> list[str]:
    return [item.get("type") or item["role"] for item in items]


def output_message(text: str, **more: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def test_reasoning_is_sent_before_the_item_it_precedes() -> None:
    items = sent_input(
        user("a"), assistant(*ASSISTANT_PARTS), user(ToolResult("call_Rm1", "", "x"), ToolResult("call_Zh2", "", "y"))
    )

    assert types_of(items)[1:6] == ["reasoning", "assistant", "function_call", "reasoning", "function_call"]
    assert items[1] == SENT_REASONING
    assert items[2] == output_message("I'll look up both.", phase="commentary")


@pytest.mark.parametrize(
    ("provider", "model"), [("claude", "claude-opus-5-5"), ("", ""), ("openai", "gpt-6-luna"), ("azure", "gpt-6.2-sol")]
)
def test_reasoning_of_another_model_is_omitted(provider: str, model: str) -> None:
    items = sent_input(user("a"), assistant(*ASSISTANT_PARTS, provider=provider, model=model), user("b"))

    assert types_of(items)[1:-1] == ["assistant", "function_call", "function_call"]
    assert items[1] == output_message("I'll look up both.")


def test_reasoning_without_a_model_name_is_sent() -> None:
    items = sent_input(user("a"), assistant(*ASSISTANT_PARTS[:2], model=""), user("b"))

    assert types_of(items) == ["user", "reasoning", "assistant", "user"]


def test_trailing_reasoning_is_omitted() -> None:
    items = sent_input(user("a"), assistant(ASSISTANT_PARTS[0], "b", ASSISTANT_PARTS[0], Text("")), user("c"))

    assert types_of(items) == ["user", "reasoning", "assistant", "user"]


@pytest.mark.parametrize("state", [b"", b"\xff\xfe", b"[]", b'"text"', b"{}", b'{"type":"message"}', b"not JSON"])
def test_foreign_provider_state_is_ignored(state: bytes) -> None:
    items = sent_input(user("a"), assistant(Reasoning("hm", provider_state=state), Text("b", state), "c"), user("d"))

    assert types_of(items) == ["user", "assistant", "user"]
    assert items[1]["content"] == "bc"


def test_unencrypted_reasoning_is_sent_with_its_content() -> None:
    raw = {"type": "reasoning", "id": "rs_1", "summary": None, "content": [{"type": "reasoning_text", "text": "Hm."}]}

    items = sent_input(user("a"), assistant(Reasoning("Hm.", provider_state=encode_state(raw)), "b"), user("c"))

    assert items[1] == {**raw, "summary": []}


def test_texts_of_one_phase_are_one_message() -> None:
    commentary, refusal = {"type": "output_text", "phase": "commentary"}, {"type": "refusal"}
    parts = (
        Text("a", encode_state(commentary)),
        Text("b", encode_state(commentary)),
        Text("c"),
        Text("d", encode_state(refusal)),
    )

    items = sent_input(user("Hi"), assistant(*parts), user("Go on"))[1:-1]

    assert items == [output_message("ab", phase="commentary"), output_message("cd")]


def test_reasoning_separates_messages() -> None:
    items = sent_input(user("a"), assistant("b", ASSISTANT_PARTS[0], "c"), user("d"))

    assert types_of(items) == ["user", "assistant", "reasoning", "assistant", "user"]


def test_tool_arguments_are_sent_unchanged() -> None:
    calls = (ToolCall("x", "f", '{"a": NaN'), ToolCall("y", "f", ""))

    items = sent_input(user("a"), assistant(*calls), user(ToolResult("x", "f", "1"), ToolResult("y", "f", "2")))

    assert [item["arguments"] for item in items[1:3]] == ['{"a": NaN', "{}"]
    assert [item["call_id"] for item in items[1:]] == ["x", "y", "x", "y"]


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
def test_tool_result_is_encoded(result: ToolResult, output: Any) -> None:
    call = make_attempt(user("a"), assistant(ToolCall("x", "f", "{}")), user(result))

    body = sent_body(call)

    assert body["input"][-1] == {"type": "function_call_output", "call_id": "x", "output": output}
    assert validated_by_sdk(body) == body


def test_tool_results_come_first_after_the_calls() -> None:
    items = sent_input(
        user("a"), assistant(ToolCall("x", "f", "{}")), user("Wait."), user(ToolResult("x", "f", "1"), "Go.")
    )

    assert types_of(items) == ["user", "function_call", "function_call_output", "user"]
    assert [content["text"] for content in items[-1]["content"]] == ["Wait.", "Go."]


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
def test_attachment_is_encoded_by_its_type(part: Attachment, content: dict[str, Any]) -> None:
    body = sent_body(make_attempt(user(part)))

    assert body["input"] == [{"role": "user", "content": [content]}]
    assert validated_by_sdk(body) == body


def test_unsupported_attachment_is_rejected() -> None:
    with pytest.raises(CapabilityUnsupported, match="audio/wav"):
        sent_body(make_attempt(user(Attachment("audio/wav", data=b"RIFF"))))


@pytest.mark.parametrize("part", [Text(""), Attachment("image/png", data=b"x")])
def test_attachment_or_empty_text_of_the_assistant_is_omitted(part: Part) -> None:
    assert types_of(sent_input(user("a"), assistant(part), user("b", ""))) == ["user", "user"]
