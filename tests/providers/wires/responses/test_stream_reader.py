"""Streams of the Responses wire that leave something out, say it twice, or say what nobody knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, FinishReason, PartCompleted, TextDelta, ToolCallDelta
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.responses import (
    added,
    completed,
    decoded,
    delta,
    done,
    end,
    finished,
    responses,
    sse,
    stream_of,
    streamed,
)

MESSAGE = {"type": "message", "id": "msg_1"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look"}
SAID = {**MESSAGE, "content": [{"type": "output_text", "text": "Hello."}]}


def read(*payloads: dict[str, Any] | str) -> list[Event]:
    return streamed(sse(*payloads))


def test_fragments_of_one_read_are_one_event() -> None:
    events = read(added(0, **MESSAGE), delta("output_text", "Hel"), delta("output_text", "lo."), done(0, **SAID), end())

    assert events[:2] == [TextDelta(0, "Hello."), PartCompleted(0, Text("Hello."))]


def test_a_part_is_complete_before_the_answer_is() -> None:
    reader = responses().reader()

    events = reader.feed(sse(added(0, **CALL), delta("function_call_arguments", '{"at":1}'), done(0, **CALL)))

    assert events == [
        ToolCallDelta(0, "call_1", "look", '{"at":1}'),
        PartCompleted(0, ToolCall("call_1", "look", '{"at":1}')),
    ]


def test_an_item_adds_what_its_fragments_left_out() -> None:
    events = read(added(0, **MESSAGE), delta("output_text", "Hel"), done(0, **SAID), end())

    assert completed(events) == [Text("Hello.")]
    assert events[0] == TextDelta(0, "Hello.")


@pytest.mark.parametrize("begun", [(), (added(0, **MESSAGE),)])
def test_an_item_without_fragments_is_read_whole(begun: tuple[dict[str, Any], ...]) -> None:
    assert completed(read(*begun, done(0, **SAID), end())) == [Text("Hello.")]


def test_a_stream_without_items_is_read_from_its_end() -> None:
    call = {**CALL, "arguments": '{"at":1}'}

    events = read(end(output=[SAID, call]))

    assert completed(events) == [Text("Hello."), ToolCall("call_1", "look", '{"at":1}')]


def test_an_item_that_was_not_said_to_be_done_is_completed_by_the_end() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}

    events = read(added(0, type="reasoning", id="rs_1"), added(1, **MESSAGE), end(output=[thought, SAID]))

    kept = json.dumps(thought, separators=(",", ":")).encode()
    assert completed(events) == [Reasoning("", redacted=True, provider_state=kept), Text("Hello.")]


def test_an_item_the_end_does_not_repeat_is_completed_as_it_is() -> None:
    events = read(added(0, **MESSAGE), delta("output_text", "Hi"), end(output=[{**CALL, "arguments": "{}"}, None]))

    assert completed(events) == [Text("Hi")]
    assert finished(events).reason is FinishReason.STOP


def test_the_end_repeats_nothing_that_was_said() -> None:
    events = read(added(0, **MESSAGE), delta("output_text", "Hello."), done(0, **SAID), end(output=[SAID]))

    assert completed(events) == [Text("Hello.")]


def test_fragments_before_their_item_count() -> None:
    events = read(delta("output_text", "Hel"), delta("output_text", "lo."), done(0, **SAID), end())

    assert completed(events) == [Text("Hello.")]


def test_arguments_before_their_call_wait_for_it() -> None:
    events = read(delta("function_call_arguments", '{"a'), done(0, **CALL, arguments='{"at":1}'), end())

    assert completed(events) == [ToolCall("call_1", "look", '{"at":1}')]


def test_items_are_found_by_their_id_where_they_have_no_number() -> None:
    events = read(
        added(None, **MESSAGE),
        delta("output_text", "Hello.", None, item_id="msg_1"),
        done(None, **SAID),
        added(None, **CALL),
        delta("function_call_arguments", '{"at":', None, item_id="fc_1"),
        delta("function_call_arguments", "1}", None),
        done(None, **CALL, arguments='{"at":1}'),
        end(),
    )

    assert completed(events) == [Text("Hello."), ToolCall("call_1", "look", '{"at":1}')]


def test_a_new_item_in_the_place_of_an_open_one_ends_it() -> None:
    second = {**CALL, "id": "fc_2", "call_id": "call_2"}

    events = read(
        added(0, **CALL),
        delta("function_call_arguments", '{"at":1}'),
        added(0, **second),
        delta("function_call_arguments", '{"at":2}'),
        done(0, **second, arguments='{"at":2}'),
        end(),
    )

    assert completed(events) == [ToolCall("call_1", "look", '{"at":1}'), ToolCall("call_2", "look", '{"at":2}')]


def test_an_item_that_is_told_twice_is_there_once() -> None:
    events = read(added(0, **CALL), added(0, **CALL), done(0, **CALL, arguments="{}"), end())

    assert completed(events) == [ToolCall("call_1", "look", "{}")]


def test_a_call_without_a_call_id_goes_by_its_own() -> None:
    events = decoded(output=[{"type": "function_call", "id": "fc_1", "name": "look", "arguments": None}])

    assert completed(events) == [ToolCall("fc_1", "look", "{}")]


def test_half_a_surrogate_pair_waits_for_the_other() -> None:
    halves = [delta("output_text", half) for half in ("a\ud83d", "\ude00b")]

    assert completed(read(added(0, **MESSAGE), *halves, end())) == [Text("a😀b")]


def test_reasoning_that_cannot_be_sent_back_is_shown_without_a_state() -> None:
    summary = [{"type": "summary_text", "text": "Hm."}]

    assert completed(decoded(output=[{"type": "reasoning", "id": "rs_1", "summary": summary}])) == [Reasoning("Hm.")]


def test_reasoning_of_which_nothing_came_is_no_part() -> None:
    nothing: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}

    assert completed(decoded(output=[nothing, SAID])) == [Text("Hello.")]


@pytest.mark.parametrize(
    "unknown",
    [
        "[DONE]",
        "",
        "[1, 2]",
        {"type": "response.rate_limits.updated", "error": {"message": "not one of ours"}},
        {"type": "keepalive"},
        {"type": "response.output_item.added"},
        {"type": "response.output_text.delta", "delta": None},
        {"type": "response.output_text.delta", "delta": "", "content_index": "x"},
        {"type": "response.mcp_call.failed", "output_index": 0},
    ],
)
def test_what_is_not_known_is_passed_over(unknown: dict[str, Any] | str) -> None:
    events = read(added(0, **MESSAGE), delta("output_text", "Hello."), done(0, **SAID), unknown, end())

    assert completed(events) == [Text("Hello.")]


@pytest.mark.parametrize("content", [None, "Hello.", [None, 1], [{"type": "output_image"}], [{"type": "output_text"}]])
def test_content_that_cannot_be_read_is_passed_over(content: Any) -> None:
    assert completed(decoded(output=[{**MESSAGE, "content": content}])) == []


def test_an_event_may_be_named_beside_its_data() -> None:
    payload = json.dumps({"response": {"output": [SAID]}})

    assert completed(streamed(f"event: response.completed\ndata: {payload}\n\n".encode())) == [Text("Hello.")]


def test_a_marker_is_no_end() -> None:
    with pytest.raises(ProviderProtocolError, match=r"without 'response.completed'"):
        read(added(0, **MESSAGE), delta("output_text", "Hel"), "[DONE]")


def test_data_that_is_not_json_is_told_by_its_size() -> None:
    with pytest.raises(ProviderProtocolError, match="not JSON, of 7 bytes"):
        responses().reader().feed(sse("{secret"))


def test_usage_is_known_once_the_end_is() -> None:
    reader = responses().reader()
    stream = stream_of("reasoning")

    reader.feed(stream[:-200])
    before = reader.usage
    reader.feed(stream[-200:])

    assert before == Usage()
    assert reader.usage == Usage(1800, 140, 1536, 128, 120, UsageSource.REPORTED)


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, {"input_tokens": None}],
)
def test_what_was_not_counted_is_missing(usage: Any) -> None:
    assert finished(decoded(usage=usage)).usage == Usage(source=UsageSource.MISSING)


def test_details_that_are_not_there_are_none() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "output_tokens_details": None}

    assert finished(decoded(usage=usage)).usage == Usage(3, 2, source=UsageSource.REPORTED)


@pytest.mark.parametrize(
    ("status", "details", "reason", "word"),
    [
        ("completed", None, FinishReason.STOP, "completed"),
        ("incomplete", None, FinishReason.OTHER, "incomplete"),
        ("incomplete", {"reason": "max_messages"}, FinishReason.OTHER, "max_messages"),
        ("something_new", None, FinishReason.OTHER, "something_new"),
        (None, None, FinishReason.STOP, "completed"),
    ],
)
def test_an_end_has_a_reason(status: str | None, details: Any, reason: FinishReason, word: str) -> None:
    last = finished(decoded(status=status, incomplete_details=details))

    assert (last.reason, last.provider_reason) == (reason, word)


def test_a_call_counts_for_more_than_a_refusal_beside_it() -> None:
    refusal = {**MESSAGE, "content": [{"type": "refusal", "refusal": "Not that."}]}

    assert finished(decoded(output=[refusal, CALL])).reason is FinishReason.TOOL_CALLS
