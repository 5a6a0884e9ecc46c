"""Undocumented values that fuzzing found to be fatal are ignored or replaced."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from aimanager_server.core.content import ToolCall
from aimanager_server.core.errors import ProviderInternalError
from aimanager_server.core.response import Finished
from aimanager_server.providers.wires.provider_errors import build_error, error_in_success, parse_error
from tests.support.chat_completions import response_body
from tests.support.recordings import WIRES
from tests.support.wire_cases import completed_parts, finished_event

CHAT = WIRES["chat_completions"]
LONE_SURROGATE = "\ud83d"


@pytest.mark.parametrize("count", [float("nan"), float("inf"), -5, 10**30])
def test_an_invalid_token_count_is_ignored(count: float) -> None:
    given = {"prompt_tokens": 3, "completion_tokens": count}

    assert finished_event(CHAT.decode(response_body({"content": "Hi"}, usage=given))).usage.output_tokens == 0


def test_an_invalid_token_count_of_the_responses_api_is_ignored() -> None:
    answer = {"output": [], "usage": {"input_tokens": 3, "output_tokens": float("inf")}}

    assert finished_event(WIRES["responses"].decode(json.dumps(answer).encode())).usage.output_tokens == 0


def test_lone_surrogates_in_finish_reasons_and_tool_calls_are_replaced() -> None:
    call = {"id": LONE_SURROGATE, "function": {"name": LONE_SURROGATE, "arguments": {"a": LONE_SURROGATE}}}

    events = CHAT.decode(response_body({"tool_calls": [call]}, LONE_SURROGATE))

    assert completed_parts(events) == (ToolCall("\ufffd", "\ufffd", '{"a": "\\ud83d"}'),)
    assert finished_event(events).provider_reason == "\ufffd"


def test_lone_surrogates_in_an_anthropic_tool_input_stay_escaped() -> None:
    block = {"type": "tool_use", "id": "t", "name": "look", "input": {"a": LONE_SURROGATE}}

    events = WIRES["anthropic"].decode(json.dumps({"content": [block]}).encode())

    assert completed_parts(events) == (ToolCall("t", "look", '{"a": "\\ud83d"}'),)


def test_an_output_item_that_is_not_an_object_is_skipped() -> None:
    added = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}}
    completed = {"type": "response.completed", "response": {"output": ["not an item"]}}
    reader = WIRES["responses"].stream_reader()

    events = reader.feed(b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (added, completed)))

    assert isinstance(events[-1], Finished)


def test_an_error_code_of_superscript_digits_is_not_a_status() -> None:
    parsed = parse_error({"error": {"message": "No.", "code": "²²²"}})

    assert parsed.status == 0
    assert isinstance(build_error(500, {}, parsed, datetime.now(UTC)), ProviderInternalError)
    assert isinstance(error_in_success({"error": {"code": "²²²"}}), ProviderInternalError)
