"""The final items of a stream add what was not streamed. What contradicts them is never a complete answer."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, TextDelta, ToolCallDelta
from tests.support.responses import (
    decode_response,
    delta_event,
    item_added,
    item_done,
    read_stream,
    recorded_stream,
    responses_wire,
    terminal_event,
)
from tests.support.wire_cases import completed_parts, sse

MESSAGE = {"type": "message", "id": "msg_1", "content": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look"}
ROME = '{"city":"Rome"}'
ROME_CALL = ToolCall("call_1", "look", ROME)


def message(*texts: str, **more: Any) -> dict[str, Any]:
    return {**MESSAGE, "content": [{"type": "output_text", "text": text} for text in texts], **more}


def arguments(fragment: str, index: int | None = 0, **more: Any) -> dict[str, Any]:
    return delta_event("function_call_arguments", fragment, index, **more)


def text(fragment: str, index: int | None = 0, **more: Any) -> dict[str, Any]:
    return delta_event("output_text", fragment, index, **more)


def read(*payloads: Any) -> list[Event]:
    return read_stream(sse(*payloads))


ARGUMENTS_IN_THE_ANNOUNCEMENT: dict[str, tuple[dict[str, Any], ...]] = {
    "and in deltas": (
        item_added(0, **CALL, arguments=ROME),
        arguments('{"city":'),
        arguments('"Rome"}'),
        item_done(0, **CALL, arguments=ROME),
    ),
    "and in deltas, without a final item": (item_added(0, **CALL, arguments=ROME), arguments(ROME)),
    "only": (item_added(0, **CALL, arguments=ROME),),
    "and in the final item": (item_added(0, **CALL, arguments=ROME), item_done(0, **CALL, arguments=ROME)),
    "as a placeholder": (item_added(0, **CALL, arguments="{}"), arguments(ROME)),
}


@pytest.mark.parametrize("events", ARGUMENTS_IN_THE_ANNOUNCEMENT.values(), ids=ARGUMENTS_IN_THE_ANNOUNCEMENT.keys())
def test_arguments_in_the_announcement_of_a_call_are_read_once(events: tuple[dict[str, Any], ...]) -> None:
    found = read(*events, terminal_event())

    assert completed_parts(found) == (ROME_CALL,)
    assert "".join(event.arguments_json for event in found if isinstance(event, ToolCallDelta)) == ROME


def test_text_in_the_announcement_of_a_message_is_read() -> None:
    assert completed_parts(read(item_added(0, **message("Hello.")), terminal_event())) == (Text("Hello."),)


NUMBERED = [
    item_added(0, **MESSAGE, sequence_number=0),
    text("na", sequence_number=1),
    text("na", sequence_number=2),
    text("!", sequence_number=3),
]


@pytest.mark.parametrize("final", [item_done(0, **message("nana!")), {"type": "keepalive"}])
def test_repeated_events_are_read_once(final: dict[str, Any]) -> None:
    twice = [event for event in NUMBERED for _ in range(2)]

    assert completed_parts(read(*twice, final, terminal_event())) == (Text("nana!"),)
    assert completed_parts(read(*NUMBERED, *NUMBERED[1:], final, terminal_event())) == (Text("nana!"),)


@pytest.mark.parametrize("numbers", [(0, 0, 0, 0), (-1, -1, -1, -1), (0, 1, 0, 1), (5, 4, 3, 2), ("a", None, 1.5, {})])
def test_events_with_useless_numbers_are_all_read(numbers: tuple[Any, ...]) -> None:
    fragments = [text(piece, sequence_number=number) for piece, number in zip("abcd", numbers, strict=True)]

    assert completed_parts(read(item_added(0, **MESSAGE), *fragments, terminal_event())) == (Text("abcd"),)


def test_every_repeated_recording_is_read_once() -> None:
    blocks = recorded_stream("parallel_tools").split(b"\n\n")
    repeated = b"\n\n".join(block for block in blocks for _ in range(2))

    assert read_stream(repeated) == read_stream(recorded_stream("parallel_tools"))


def test_the_final_response_adds_an_item_that_was_not_streamed() -> None:
    call = {**CALL, "arguments": ROME}

    events = read(
        item_added(0, **MESSAGE),
        text("Hi"),
        item_done(0, **message("Hi")),
        terminal_event(output=[message("Hi"), call]),
    )

    assert completed_parts(events) == (Text("Hi"), ROME_CALL)


def test_final_items_are_matched_by_type_and_order() -> None:
    """Some servers change ids, or give every item the same index."""
    events = read(
        item_added(0, type="reasoning", id="rs_1"),
        delta_event("reasoning_text", "Hm."),
        item_done(0, type="reasoning", id="rs_2"),
        item_added(0, **message("One")),
        text("One"),
        item_added(0, **{**MESSAGE, "id": "msg_2"}),
        text("Two"),
        terminal_event(output=[message("One", id="x"), message("Two", id="y")]),
    )

    assert completed_parts(events) == (Reasoning("Hm."), Text("One"), Text("Two"))


CONTRADICTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "text of the item": (item_added(0, **MESSAGE), text("Hi"), item_done(0, **message("Ho"))),
    "shorter text": (item_added(0, **MESSAGE), text("Hello"), item_done(0, **message("Hell"))),
    "no text": (item_added(0, **MESSAGE), text("Hello"), item_done(0, **message())),
    "text of the response": (
        item_added(0, **MESSAGE),
        text("Hi"),
        item_done(0, **message("Hi")),
        terminal_event(output=[message("Ho")]),
    ),
    "longer text of the response": (
        item_added(0, **MESSAGE),
        text("Hi"),
        item_done(0, **message("Hi")),
        terminal_event(output=[message("Hi there")]),
    ),
    "text of an open item": (item_added(0, **MESSAGE), text("Hi"), terminal_event(output=[message("Ho")])),
    "another type": (item_added(0, **MESSAGE), text("Hi"), item_done(0, **CALL, arguments="{}")),
    "another type in the response": (
        item_added(0, **MESSAGE),
        text("Hi"),
        terminal_event(output=[{**CALL, "arguments": "{}"}, None]),
    ),
    "an item missing in the response": (
        item_added(0, **CALL),
        arguments(ROME),
        item_done(0, **CALL, arguments=ROME),
        terminal_event(output=[message("Hi")]),
    ),
    "arguments": (item_added(0, **CALL), arguments(ROME), item_done(0, **CALL, arguments="{}")),
    "name": (item_added(0, **CALL), item_done(0, **{**CALL, "name": "find"}, arguments=ROME)),
    "call id": (item_added(0, **CALL), item_done(0, **{**CALL, "call_id": "call_2"}, arguments=ROME)),
    "name in the response": (
        item_added(0, **CALL),
        arguments(ROME),
        item_done(0, **CALL),
        terminal_event(output=[{**CALL, "name": "find", "arguments": ROME}]),
    ),
    "arguments continued from the announcement": (item_added(0, **CALL, arguments='{"city":'), arguments('"Rome"}')),
    "arguments of a message": (item_added(0, **MESSAGE), arguments(ROME), item_done(0, **message("Hi"))),
    "arguments without a call": (arguments(ROME),),
    "an item that is not done": (item_added(0, **MESSAGE), item_done(0, **message("Hi")), text("Ho", 1)),
    "text of reasoning": (item_added(0, type="reasoning", id="rs_1", summary=[]), text("Hi")),
    "text of a hosted tool": (item_added(0, type="web_search_call", id="ws_1"), text("Hi")),
    "a call without a name": (item_done(0, type="function_call", call_id="c", arguments="{}"),),
    "a second response": (
        {"type": "response.created", "response": {}},
        item_added(0, **MESSAGE),
        text("Hi"),
        {"type": "response.created", "response": {}},
    ),
    "a delta in another shape": (item_added(0, **MESSAGE), {**text(""), "delta": {"text": "Hi"}}),
    "text in another shape": (item_done(0, **{**MESSAGE, "content": [{"type": "output_text", "text": 7}]}),),
}


@pytest.mark.parametrize("events", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_contradiction_is_an_error(events: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ProviderProtocolError):
        read(*events, terminal_event())


def test_half_a_surrogate_pair_is_completed_by_the_final_item() -> None:
    events = read(item_added(0, **MESSAGE), text("a\ud83d"), item_done(0, **message("a😀b")), terminal_event())

    assert completed_parts(events) == (Text("a😀b"),)


def test_older_shapes_of_content_are_read() -> None:
    call = {**CALL, "arguments": {"city": "Rome"}}
    output = [{"type": "message", "content": "One"}, message("Two"), call]
    output[1]["content"][0]["type"] = "text"

    assert completed_parts(decode_response(output=output)) == (Text("One"), Text("Two"), ROME_CALL)


def test_an_event_may_be_a_list_of_events() -> None:
    events = read([item_added(0, **MESSAGE), text("Hi")], [item_done(0, **message("Hi")), terminal_event()])

    assert completed_parts(events) == (Text("Hi"),)


def test_the_final_items_carry_the_content_that_arrived_before() -> None:
    reader = responses_wire().stream_reader()
    streamed = reader.feed(sse(item_added(0, **MESSAGE), text("Hi")))

    with pytest.raises(ProviderProtocolError):
        reader.feed(sse(terminal_event(output=[message("Ho")], usage={"input_tokens": 3, "output_tokens": 2})))

    assert streamed == [TextDelta(0, "Hi")]
    assert (reader.usage.input_tokens, reader.usage.output_tokens) == (3, 2)
