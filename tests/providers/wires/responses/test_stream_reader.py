"""Incomplete, repetitive and unknown events in streams of the Responses API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, FinishReason, PartCompleted, TextDelta, ToolCallDelta
from aimanager_server.core.usage import Usage, UsageSource
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
from tests.support.wire_cases import completed_parts, finished_event, sse

MESSAGE = {"type": "message", "id": "msg_1"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look"}
WHOLE_MESSAGE = {**MESSAGE, "content": [{"type": "output_text", "text": "Hello."}]}


def read(*payloads: dict[str, Any] | str) -> list[Event]:
    return read_stream(sse(*payloads))


def test_fragments_of_one_read_are_merged() -> None:
    events = read(
        item_added(0, **MESSAGE),
        delta_event("output_text", "Hel"),
        delta_event("output_text", "lo."),
        item_done(0, **WHOLE_MESSAGE),
        terminal_event(),
    )

    assert events[:2] == [TextDelta(0, "Hello."), PartCompleted(0, Text("Hello."))]


def test_part_is_completed_before_the_response() -> None:
    reader = responses_wire().stream_reader()

    events = reader.feed(
        sse(item_added(0, **CALL), delta_event("function_call_arguments", '{"at":1}'), item_done(0, **CALL))
    )

    assert events == [
        ToolCallDelta(0, "call_1", "look", '{"at":1}'),
        PartCompleted(0, ToolCall("call_1", "look", '{"at":1}')),
    ]


def test_complete_item_adds_missing_text() -> None:
    events = read(
        item_added(0, **MESSAGE), delta_event("output_text", "Hel"), item_done(0, **WHOLE_MESSAGE), terminal_event()
    )

    assert completed_parts(events) == (Text("Hello."),)
    assert events[0] == TextDelta(0, "Hello.")


@pytest.mark.parametrize("started", [(), (item_added(0, **MESSAGE),)])
def test_item_without_fragments_is_read_from_its_completion(started: tuple[dict[str, Any], ...]) -> None:
    assert completed_parts(read(*started, item_done(0, **WHOLE_MESSAGE), terminal_event())) == (Text("Hello."),)


def test_stream_without_items_is_read_from_the_final_response() -> None:
    call = {**CALL, "arguments": '{"at":1}'}

    events = read(terminal_event(output=[WHOLE_MESSAGE, call]))

    assert completed_parts(events) == (Text("Hello."), ToolCall("call_1", "look", '{"at":1}'))


def test_open_item_is_completed_by_the_final_response() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}

    events = read(
        item_added(0, type="reasoning", id="rs_1"),
        item_added(1, **MESSAGE),
        terminal_event(output=[reasoning, WHOLE_MESSAGE]),
    )

    state = json.dumps(reasoning, separators=(",", ":")).encode()
    assert completed_parts(events) == (Reasoning("", redacted=True, provider_state=state), Text("Hello."))


def test_final_response_repeats_no_content() -> None:
    events = read(
        item_added(0, **MESSAGE),
        delta_event("output_text", "Hello."),
        item_done(0, **WHOLE_MESSAGE),
        terminal_event(output=[WHOLE_MESSAGE]),
    )

    assert completed_parts(events) == (Text("Hello."),)


def test_fragments_before_their_item_are_kept() -> None:
    events = read(
        delta_event("output_text", "Hel"),
        delta_event("output_text", "lo."),
        item_done(0, **WHOLE_MESSAGE),
        terminal_event(),
    )

    assert completed_parts(events) == (Text("Hello."),)


def test_arguments_before_their_tool_call_wait_for_it() -> None:
    events = read(
        delta_event("function_call_arguments", '{"a'), item_done(0, **CALL, arguments='{"at":1}'), terminal_event()
    )

    assert completed_parts(events) == (ToolCall("call_1", "look", '{"at":1}'),)


def test_items_without_an_index_are_found_by_id() -> None:
    events = read(
        item_added(None, **MESSAGE),
        delta_event("output_text", "Hello.", None, item_id="msg_1"),
        item_done(None, **WHOLE_MESSAGE),
        item_added(None, **CALL),
        delta_event("function_call_arguments", '{"at":', None, item_id="fc_1"),
        delta_event("function_call_arguments", "1}", None),
        item_done(None, **CALL, arguments='{"at":1}'),
        terminal_event(),
    )

    assert completed_parts(events) == (Text("Hello."), ToolCall("call_1", "look", '{"at":1}'))


def test_new_item_at_an_open_index_completes_the_open_one() -> None:
    second = {**CALL, "id": "fc_2", "call_id": "call_2"}

    events = read(
        item_added(0, **CALL),
        delta_event("function_call_arguments", '{"at":1}'),
        item_added(0, **second),
        delta_event("function_call_arguments", '{"at":2}'),
        item_done(0, **second, arguments='{"at":2}'),
        terminal_event(),
    )

    assert completed_parts(events) == (ToolCall("call_1", "look", '{"at":1}'), ToolCall("call_2", "look", '{"at":2}'))


def test_item_added_twice_is_one_item() -> None:
    events = read(item_added(0, **CALL), item_added(0, **CALL), item_done(0, **CALL, arguments="{}"), terminal_event())

    assert completed_parts(events) == (ToolCall("call_1", "look", "{}"),)


def test_tool_call_without_a_call_id_uses_the_item_id() -> None:
    events = decode_response(output=[{"type": "function_call", "id": "fc_1", "name": "look", "arguments": None}])

    assert completed_parts(events) == (ToolCall("fc_1", "look", "{}"),)


def test_surrogate_pair_split_across_events_is_joined() -> None:
    fragments = [delta_event("output_text", half) for half in ("a\ud83d", "\ude00b")]

    assert completed_parts(read(item_added(0, **MESSAGE), *fragments, terminal_event())) == (Text("a😀b"),)


def test_unencrypted_reasoning_summary_has_no_state() -> None:
    summary = [{"type": "summary_text", "text": "Hm."}]

    assert completed_parts(decode_response(output=[{"type": "reasoning", "id": "rs_1", "summary": summary}])) == (
        Reasoning("Hm."),
    )


def test_empty_reasoning_item_is_dropped() -> None:
    empty: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}

    assert completed_parts(decode_response(output=[empty, WHOLE_MESSAGE])) == (Text("Hello."),)


@pytest.mark.parametrize(
    "unknown",
    [
        "[DONE]",
        "",
        "[1, 2]",
        {"type": "response.rate_limits.updated", "error": {"message": "not an error event"}},
        {"type": "keepalive"},
        {"type": "response.output_item.added"},
        {"type": "response.output_text.delta", "delta": None},
        {"type": "response.output_text.delta", "delta": "", "content_index": "x"},
        {"type": "response.mcp_call.failed", "output_index": 0},
    ],
)
def test_unknown_events_are_ignored(unknown: dict[str, Any] | str) -> None:
    events = read(
        item_added(0, **MESSAGE),
        delta_event("output_text", "Hello."),
        item_done(0, **WHOLE_MESSAGE),
        unknown,
        terminal_event(),
    )

    assert completed_parts(events) == (Text("Hello."),)


@pytest.mark.parametrize("content", [None, [None, 1], [{"type": "output_image"}], [{"type": "output_text"}]])
def test_unknown_content_is_ignored(content: Any) -> None:
    assert completed_parts(decode_response(output=[{**MESSAGE, "content": content}])) == ()


def test_event_type_may_be_the_sse_event_name() -> None:
    payload = json.dumps({"response": {"output": [WHOLE_MESSAGE]}})

    assert completed_parts(read_stream(f"event: response.completed\ndata: {payload}\n\n".encode())) == (Text("Hello."),)


def test_done_marker_does_not_complete_a_stream() -> None:
    with pytest.raises(ProviderProtocolError, match=r"without 'response.completed'"):
        read(item_added(0, **MESSAGE), delta_event("output_text", "Hel"), "[DONE]")


def test_error_for_invalid_json_states_its_size() -> None:
    with pytest.raises(ProviderProtocolError, match=r"not JSON \(7 bytes\)"):
        responses_wire().stream_reader().feed(sse("{secret"))


def test_usage_is_available_after_the_final_event() -> None:
    reader = responses_wire().stream_reader()
    stream = recorded_stream("reasoning")

    reader.feed(stream[:-200])
    before = reader.usage
    reader.feed(stream[-200:])

    assert before == Usage()
    assert reader.usage == Usage(1800, 140, 1536, 128, 120, UsageSource.REPORTED)


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, {"input_tokens": None}],
)
def test_missing_or_zero_usage_is_missing(usage: Any) -> None:
    assert finished_event(decode_response(usage=usage)).usage == Usage(source=UsageSource.MISSING)


def test_missing_usage_details_are_zero() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "output_tokens_details": None}

    assert finished_event(decode_response(usage=usage)).usage == Usage(3, 2, source=UsageSource.REPORTED)


@pytest.mark.parametrize(
    ("status", "details", "reason", "provider_reason"),
    [
        ("completed", None, FinishReason.STOP, "completed"),
        ("incomplete", None, FinishReason.OTHER, "incomplete"),
        ("incomplete", {"reason": "max_messages"}, FinishReason.OTHER, "max_messages"),
        ("something_new", None, FinishReason.OTHER, "something_new"),
        (None, None, FinishReason.STOP, "completed"),
    ],
)
def test_status_determines_the_finish_reason(
    status: str | None, details: Any, reason: FinishReason, provider_reason: str
) -> None:
    last = finished_event(decode_response(status=status, incomplete_details=details))

    assert (last.reason, last.provider_reason) == (reason, provider_reason)


def test_tool_call_takes_precedence_over_a_refusal() -> None:
    refusal = {**MESSAGE, "content": [{"type": "refusal", "refusal": "Not that."}]}

    assert finished_event(decode_response(output=[refusal, CALL])).reason is FinishReason.TOOL_CALLS
