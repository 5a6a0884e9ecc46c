"""Mistral's quirks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import (
    Attachment,
    Effort,
    Message,
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
from aimanager_server.core.errors import ProviderInternalError, ProviderRejectedRequest
from aimanager_server.core.response import FinishReason
from tests.support.chat_completions import assistant, chat_wire, make_attempt, read_stream, recorded, sent_body
from tests.support.wire_cases import completed_parts, finished_event, user

LOOK = Tool("look")
FOREIGN_ID = "toolu_01A9cDkE2"


def body_for(*turns: Message, model: str = "mistral-medium-3-5", **more: Any) -> dict[str, Any]:
    return sent_body(make_attempt(*turns, provider="mistral", model=model, **more), "mistral")


def test_seed_is_sent_as_random_seed() -> None:
    body = body_for(sampling=Sampling(max_output_tokens=7, seed=3))

    assert (body["random_seed"], body["max_tokens"], "seed" in body) == (3, 7, False)


@pytest.mark.parametrize(
    ("choice", "encoded"),
    [
        (ToolChoice(ToolMode.REQUIRED), "any"),
        (ToolChoice(ToolMode.AUTO), "auto"),
        (ToolChoice(ToolMode.NONE), "none"),
        (ToolChoice(tool_name="look"), {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_required_tool_choice_is_any(choice: ToolChoice, encoded: object) -> None:
    assert body_for(tools=(LOOK,), tool_choice=choice)["tool_choice"] == encoded


def test_tool_call_ids_are_normalized_in_calls_and_results() -> None:
    body = body_for(
        user("1"), assistant(ToolCall(FOREIGN_ID, "look", "{}")), user(ToolResult(FOREIGN_ID, "look", "sand"))
    )

    call_id, result_id = body["messages"][1]["tool_calls"][0]["id"], body["messages"][2]["tool_call_id"]
    assert call_id == result_id
    assert len(call_id) == 9
    assert call_id.isascii()
    assert call_id.isalnum()


def test_no_text_contains_the_id_of_a_tool_call() -> None:
    image = Attachment("image/png", data=b"\x89PNG")
    result = ToolResult(FOREIGN_ID, "look", "sand", (image,))

    body = body_for(user("1"), assistant(ToolCall(FOREIGN_ID, "look", "{}")), user(ToolResult("a", "", "b"), result))

    sent_id = body["messages"][1]["tool_calls"][0]["id"]
    label = body["messages"][5]["content"][0]["text"]
    assert label == "Files of tool result 2 (look):"
    assert json.dumps(body).count(sent_id) == 2
    assert FOREIGN_ID not in json.dumps(body)


def test_normalized_ids_are_unique_and_stable() -> None:
    def ids() -> list[str]:
        calls = assistant(*(ToolCall(f"call_{number}", "look", "{}") for number in range(3)))
        results = user(*(ToolResult(f"call_{number}", "look", "") for number in range(3)))
        return [call["id"] for call in body_for(user("1"), calls, results)["messages"][1]["tool_calls"]]

    assert len(set(ids())) == 3
    assert ids() == ids()


@pytest.mark.parametrize("call_id", ["D681PevKs", "123456789"])
def test_valid_tool_call_id_is_kept(call_id: str) -> None:
    body = body_for(user("1"), assistant(ToolCall(call_id, "look", "{}")), user(ToolResult(call_id, "look", "")))

    assert body["messages"][1]["tool_calls"][0]["id"] == call_id


def test_acknowledgment_is_inserted_after_tool_results() -> None:
    body = body_for(
        user("1"), assistant(ToolCall("D681PevKs", "look", "{}")), user(ToolResult("D681PevKs", "look", "x"), "2")
    )

    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "assistant", "user"]


def test_reasoning_is_sent_back_in_the_content() -> None:
    message = body_for(user("1"), assistant(Reasoning("Hm."), "Six.", provider="mistral"), user("2"))["messages"][1]

    assert message["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Six."},
    ]


def test_reasoning_before_a_tool_call_is_sent_back() -> None:
    turn = assistant(Reasoning("Hm."), ToolCall("D681PevKs", "look", "{}"), provider="mistral")

    message = body_for(user("1"), turn, user(ToolResult("D681PevKs", "look", "x")))["messages"][1]

    assert message["content"] == [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]


def test_reasoning_of_another_provider_is_omitted() -> None:
    assert (
        body_for(user("1"), assistant(Reasoning("Hm."), "Six.", provider="claude"))["messages"][1]["content"] == "Six."
    )


def test_response_parts_make_the_round_trip() -> None:
    parts = completed_parts(read_stream(recorded("chat_completions/mistral_tools.sse"), "mistral"))

    message = body_for(user("1"), assistant(*parts, provider="mistral"), user(ToolResult("D681PevKs", "look", "x")))[
        "messages"
    ][1]

    assert message["content"][0]["thinking"][0]["text"] == "Two cities."
    assert [call["id"] for call in message["tool_calls"]] == ["D681PevKs", "kL2pQ8xYz"]


def test_stream_options_are_omitted() -> None:
    body = body_for(streaming=True)

    assert body.keys() == {"model", "messages", "stream"}


@pytest.mark.parametrize(("model", "effort"), [("mistral-small-latest", "high"), ("magistral-medium-latest", None)])
def test_magistral_gets_no_effort(model: str, effort: str | None) -> None:
    assert body_for(model=model, reasoning=ReasoningOptions(Effort.HIGH)).get("reasoning_effort") == effort


def test_model_length_is_the_context_window() -> None:
    events = read_stream(recorded("chat_completions/mistral_model_length.sse"), "mistral")

    assert (finished_event(events).reason, completed_parts(events)) == (
        FinishReason.CONTEXT_WINDOW,
        (Text("Once upon a"),),
    )


def test_error_finish_reason_is_raised() -> None:
    with pytest.raises(ProviderInternalError, match="'error'"):
        read_stream(recorded("chat_completions/mistral_error.sse"), "mistral")


def test_num_cached_tokens_are_counted() -> None:
    usage = finished_event(read_stream(recorded("chat_completions/mistral_tools.sse"), "mistral")).usage

    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (20, 30, 16)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            400,
            b'{"object":"error","message":"Wrong.","type":"invalid_request_error","param":null,"code":null}',
            "Wrong.",
        ),
        (
            422,
            b'{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs"}]}',
            "body.seed: Extra",
        ),
        (400, b'{"message":"Wrong.","request_id":"abc"}', "Wrong."),
    ],
)
def test_error_bodies_of_every_form_are_mapped(status: int, body: bytes, message: str) -> None:
    error = chat_wire("mistral").error(status, {}, body)

    assert isinstance(error, ProviderRejectedRequest)
    assert message in error.message
