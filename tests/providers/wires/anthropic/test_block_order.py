"""Streams whose blocks are repeated, in the wrong order or in an unexpected shape: read right, or an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, FinishReason
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.anthropic import (
    MESSAGE_STOP,
    anthropic_wire,
    block_delta,
    block_start,
    block_stop,
    message_delta,
    message_start,
    read_stream,
    recorded_stream,
)
from tests.support.wire_cases import completed_parts, finished_event, sse

TEXT_BLOCK = (block_start(0, type="text", text=""), block_delta(0, type="text_delta", text="Hi"), block_stop(0))
TOOL_BLOCK = block_start(0, type="tool_use", id="t", name="look", input={})


def without_index(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in event.items() if name != "index"} for event in events]


def read(*payloads: dict[str, Any]) -> list[Event]:
    return read_stream(sse(message_start(input_tokens=9, output_tokens=1), *payloads, message_delta(), MESSAGE_STOP))


MALFORMED: dict[str, tuple[dict[str, Any], ...]] = {
    "a second message": (*TEXT_BLOCK, message_start(), *TEXT_BLOCK),
    "a second message without content": (*TEXT_BLOCK, message_start()),
    "a second message after the stop reason": (message_delta("end_turn", output_tokens=3), message_start()),
    "a repeated block": (*TEXT_BLOCK, *TEXT_BLOCK),
    "a block that starts twice": (TEXT_BLOCK[0], *TEXT_BLOCK),
    "a delta after its block": (*TEXT_BLOCK, TEXT_BLOCK[1]),
    "text of another block type": (TOOL_BLOCK, TEXT_BLOCK[1]),
    "input of another block type": (TEXT_BLOCK[0], block_delta(0, type="input_json_delta", partial_json="{}")),
    "input of no block": (block_delta(0, type="input_json_delta", partial_json="{}"),),
    "a call without a name": (block_start(0, type="tool_use", id="t", input={"a": 1}),),
    "a negative index": (TEXT_BLOCK[0], block_delta(-1, type="text_delta", text="Hi")),
    "an index that is a list": ({**TEXT_BLOCK[0], "index": [0]}, *TEXT_BLOCK),
    "a delta that is a string": (TEXT_BLOCK[0], {**TEXT_BLOCK[1], "delta": "Hi"}),
    "a block that is a string": ({**TEXT_BLOCK[0], "content_block": "Hi"},),
    "text that is a list": (TEXT_BLOCK[0], block_delta(0, type="text_delta", text=["Hi"])),
    "initial text that is a number": (block_start(0, type="text", text=7),),
    "content that is a string": ({"type": "message_start", "message": {"content": "Hi"}},),
}


@pytest.mark.parametrize("payloads", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_content_is_a_protocol_error(payloads: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ProviderProtocolError):
        read(*payloads)


def test_a_message_that_starts_twice_without_content_is_one() -> None:
    assert completed_parts(read(message_start(input_tokens=9), *TEXT_BLOCK)) == (Text("Hi"),)


def test_deltas_without_a_block_start_are_read() -> None:
    events = read(
        block_delta(0, type="thinking_delta", thinking="Hm."),
        block_delta(0, type="signature_delta", signature="Sig"),
        block_stop(0),
        block_delta(1, type="text_delta", text="Hi"),
    )

    assert completed_parts(events) == (Reasoning("Hm.", provider_state=b"Sig"), Text("Hi"))


def test_blocks_without_an_index_are_read_in_order() -> None:
    call = (TOOL_BLOCK, block_delta(0, type="input_json_delta", partial_json='{"a":1}'), block_stop(0))

    events = read(*without_index(*TEXT_BLOCK, *call, *TEXT_BLOCK))

    assert completed_parts(events) == (Text("Hi"), ToolCall("t", "look", '{"a":1}'), Text("Hi"))


def test_interleaved_blocks_are_read_by_index() -> None:
    events = read(
        block_start(0, type="text", text=""),
        block_start(1, type="text", text=""),
        block_delta(0, type="text_delta", text="A"),
        block_delta(1, type="text_delta", text="1"),
        block_delta(0, type="text_delta", text="B"),
    )

    assert completed_parts(events) == (Text("AB"), Text("1"))


def test_content_after_the_stop_reason_is_content_and_the_last_reason_counts() -> None:
    events = read(message_delta("end_turn", output_tokens=3), *TEXT_BLOCK, message_delta("max_tokens", output_tokens=5))

    assert completed_parts(events) == (Text("Hi"),)
    assert finished_event(events).reason is FinishReason.MAX_TOKENS
    assert finished_event(events).usage.output_tokens == 5


def test_content_of_the_message_start_is_read() -> None:
    content = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}]
    start = {"type": "message_start", "message": {"content": content, "stop_reason": "tool_use"}}

    assert completed_parts(read_stream(sse(start, MESSAGE_STOP))) == (Text("Hi"), ToolCall("t", "look", '{"a":1}'))


@pytest.mark.parametrize(
    ("given", "arguments"), [('{"a":1}', '{"a":1}'), ([1], "[1]"), ({"a": 1}, '{"a":1}'), (None, "{}"), ("", "{}")]
)
def test_input_in_any_shape_is_kept(given: Any, arguments: str) -> None:
    block = {"type": "tool_use", "id": "t", "name": "look", "input": given}

    decoded = anthropic_wire().decode(json.dumps({"content": [block]}).encode())

    assert completed_parts(decoded) == (ToolCall("t", "look", arguments),)
    assert completed_parts(read(block_start(0, **block))) == completed_parts(decoded)


def test_a_message_without_a_message_delta_is_truncated() -> None:
    with pytest.raises(ProviderProtocolError, match="without 'message_delta'"):
        read_stream(sse(message_start(input_tokens=9, output_tokens=1), *TEXT_BLOCK, MESSAGE_STOP))


def test_the_first_output_count_of_a_message_is_no_final_one() -> None:
    finished = finished_event(read(*TEXT_BLOCK))

    assert finished.usage == Usage(9, 0, source=UsageSource.ESTIMATED)


def test_a_recording_played_twice_is_a_protocol_error() -> None:
    once = recorded_stream("parallel_tools")
    without_end = once[: once.index(b"event: message_delta")]

    with pytest.raises(ProviderProtocolError):
        read_stream(without_end + once)
