"""Values that no provider documents and `make fuzz` found fatal are read as nothing, or as what they can be."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from aimanager_server.core.content import ToolCall
from aimanager_server.core.errors import ProviderInternalError
from aimanager_server.core.response import Finished
from aimanager_server.providers.wires.provider_errors import fault_inside, fault_of, said_of
from tests.support.chat_completions import finished_of, parts_of
from tests.support.chat_completions_answers import body
from tests.support.recordings import WIRES

CHAT = WIRES["chat_completions"]
LONE = "\ud83d"


@pytest.mark.parametrize("count", [float("nan"), float("inf"), -5, 10**30])
def test_a_count_that_cannot_be_one_is_none(count: float) -> None:
    given = {"prompt_tokens": 3, "completion_tokens": count}

    assert finished_of(CHAT.decode(body({"content": "Hi"}, usage=given))).usage.output_tokens == 0


def test_a_responses_count_that_cannot_be_one_is_none() -> None:
    answer = {"output": [], "usage": {"input_tokens": 3, "output_tokens": float("inf")}}

    assert finished_of(WIRES["responses"].decode(json.dumps(answer).encode())).usage.output_tokens == 0


def test_half_a_sign_in_a_finish_reason_or_a_call_is_replaced() -> None:
    call = {"id": LONE, "function": {"name": LONE, "arguments": {"a": LONE}}}

    events = CHAT.decode(body({"tool_calls": [call]}, LONE))

    assert parts_of(events) == (ToolCall("\ufffd", "\ufffd", '{"a": "\\ud83d"}'),)
    assert finished_of(events).provider_reason == "\ufffd"


def test_half_a_sign_in_the_input_of_a_claude_call_is_kept_escaped() -> None:
    block = {"type": "tool_use", "id": "t", "name": "look", "input": {"a": LONE}}

    events = WIRES["claude"].decode(json.dumps({"content": [block]}).encode())

    assert parts_of(events) == (ToolCall("t", "look", '{"a": "\\ud83d"}'),)


def test_an_item_of_a_responses_answer_that_is_no_object_is_passed_over() -> None:
    begun = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}}
    ended = {"type": "response.completed", "response": {"output": ["no item"]}}
    reader = WIRES["responses"].reader()

    events = reader.feed(b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (begun, ended)))

    assert isinstance(events[-1], Finished)


def test_an_error_code_of_signs_that_only_look_like_digits_is_no_status() -> None:
    said = said_of({"error": {"message": "No.", "code": "²²²"}})

    assert said.status == 0
    assert isinstance(fault_of(500, {}, said, datetime.now(UTC)), ProviderInternalError)
    assert isinstance(fault_inside({"error": {"code": "²²²"}}), ProviderInternalError)
