"""Long responses of the Responses API and of Claude cost work in proportion to their length, and are bounded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from aimanager_server.core.errors import GatewayError, ProviderProtocolError
from aimanager_server.core.response import Event
from tests.support import anthropic, responses
from tests.support.recordings import WIRES
from tests.support.wire_cases import finished_event, sse

READ_BYTES = 65_536
LIMIT_SECONDS = 4.0
"""CPU time that no response of these tests takes on any machine. Quadratic work takes more than a minute."""

Payloads = list[dict[str, Any]]


def read(wire: str, payloads: Payloads) -> list[Event]:
    """Return the events of a stream that arrives in reads of the size of the network's."""
    stream, reader = sse(*payloads), WIRES[wire].stream_reader()
    pieces = (stream[at : at + READ_BYTES] for at in range(0, len(stream), READ_BYTES))
    return [*(event for piece in pieces for event in reader.feed(piece)), *reader.end()]


def fragments_without_index(count: int) -> Payloads:
    """Return the fragments of a message that follows other items that stay open, found by their ids."""
    items = [responses.item_added(None, type="web_search_call", id=f"ws_{number}") for number in range(3000)]
    message = responses.item_added(None, type="message", id="msg_1")
    deltas = [responses.delta_event("output_text", "a", None, item_id="msg_1") for _ in range(count)]
    return [*items, message, *deltas, responses.terminal_event()]


def fragments_of_alternating_items(count: int) -> Payloads:
    """Return the fragments of two messages by turns."""
    items = [responses.item_added(index, type="message", id=f"msg_{index}") for index in (0, 1)]
    deltas = [responses.delta_event("output_text", "a", number % 2) for number in range(count)]
    return [*items, *deltas, responses.terminal_event()]


def fragments_of_arguments(count: int) -> Payloads:
    call = {"type": "function_call", "id": "fc", "call_id": "c", "name": "look"}
    deltas = [responses.delta_event("function_call_arguments", "1", 0) for _ in range(count)]
    return [responses.item_added(0, **call), *deltas, responses.terminal_event()]


def fragments_of_alternating_blocks(count: int) -> Payloads:
    blocks = [anthropic.block_start(index, type="text", text="") for index in (0, 1)]
    deltas = [anthropic.block_delta(number % 2, type="text_delta", text="a") for number in range(count)]
    return [*blocks, *deltas, anthropic.message_delta("end_turn"), anthropic.MESSAGE_STOP]


@pytest.mark.parametrize(
    ("wire", "payloads"),
    [
        ("responses", fragments_without_index),
        ("responses", fragments_of_alternating_items),
        ("responses", fragments_of_arguments),
        ("anthropic", fragments_of_alternating_blocks),
    ],
)
def test_work_is_linear_in_the_number_of_fragments(wire: str, payloads: Callable[[int], Payloads]) -> None:
    started = time.process_time()

    finished_event(read(wire, payloads(12_000)))

    assert time.process_time() - started < LIMIT_SECONDS


def tool_calls_of_responses(count: int) -> Payloads:
    call = {"type": "function_call", "name": "look", "arguments": "{}"}
    items = [responses.item_done(index, **call, id=f"fc_{index}", call_id=f"c{index}") for index in range(count)]
    return [*items, responses.terminal_event()]


def tool_calls_of_claude(count: int) -> Payloads:
    call = {"type": "tool_use", "name": "look", "input": {}}
    blocks = [anthropic.block_start(index, **call, id=f"t{index}") for index in range(count)]
    return [*blocks, anthropic.message_delta("tool_use"), anthropic.MESSAGE_STOP]


@pytest.mark.parametrize(
    ("wire", "payloads"), [("responses", tool_calls_of_responses), ("anthropic", tool_calls_of_claude)]
)
def test_the_number_of_parts_is_bounded(wire: str, payloads: Callable[[int], Payloads]) -> None:
    started = time.process_time()

    with pytest.raises(ProviderProtocolError, match="limit of 1000 parts"):
        read(wire, payloads(4000))

    assert time.process_time() - started < LIMIT_SECONDS


LONG = "no " * 1_600_000
"""Five megabytes of words, as an error message or a reason."""


@pytest.mark.parametrize(
    ("wire", "payload"),
    [
        ("responses", {"type": "error", "code": "server_error", "message": LONG}),
        ("responses", {"type": "response.failed", "response": {"status": "failed", "error": {"message": LONG}}}),
        ("anthropic", {"type": "error", "error": {"type": "api_error", "message": LONG}}),
    ],
)
def test_a_long_error_is_cut_before_any_work_on_it(wire: str, payload: dict[str, Any]) -> None:
    reader, stream = WIRES[wire].stream_reader(), sse(payload)
    started = time.process_time()

    with pytest.raises(GatewayError) as raised:
        reader.feed(stream)

    assert len(raised.value.message) < 70_000
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("wire", "payloads"),
    [
        (
            "responses",
            [responses.terminal_event("incomplete", incomplete_details={"reason": LONG})],
        ),
        ("anthropic", [anthropic.message_delta(LONG), anthropic.MESSAGE_STOP]),
    ],
)
def test_a_long_finish_reason_is_cut(wire: str, payloads: Payloads) -> None:
    reader, stream = WIRES[wire].stream_reader(), sse(*payloads)

    assert len(finished_event(reader.feed(stream)).provider_reason) <= 200
