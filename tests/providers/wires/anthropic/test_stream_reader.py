"""Streams of the Messages API."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.response import Finished, FinishReason
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
)
from tests.support.wire_cases import completed_parts, finished_event, sse


def finished_of(*payloads: dict[str, Any] | str) -> Finished:
    return finished_event(read_stream(sse(*payloads)))


def test_later_counts_replace_earlier_ones() -> None:
    finished = finished_of(
        message_start(input_tokens=5, cache_read_input_tokens=7, output_tokens=1),
        message_delta("end_turn", output_tokens=10),
        message_delta(None, input_tokens=6, output_tokens=30, cache_read_input_tokens=None),
        MESSAGE_STOP,
    )

    assert finished.usage == Usage(13, 30, 7, 0, 0, UsageSource.REPORTED)
    assert finished.provider_reason == "end_turn"


def test_zero_usage_is_missing() -> None:
    assert (
        finished_of(message_start(input_tokens=0, output_tokens=0), message_delta("end_turn"), MESSAGE_STOP).usage
        == Usage()
    )


def test_usage_is_available_before_the_stream_ends() -> None:
    reader = anthropic_wire().stream_reader()
    reader.feed(sse(message_start(input_tokens=25, output_tokens=1)))

    assert reader.usage == Usage(25, 1, source=UsageSource.REPORTED)


@pytest.mark.parametrize(
    ("provider_reason", "reason"),
    [(None, FinishReason.STOP), ("compaction", FinishReason.STOP), ("new", FinishReason.OTHER)],
)
def test_missing_or_unknown_stop_reason_is_accepted(provider_reason: str | None, reason: FinishReason) -> None:
    finished = finished_of(message_delta(provider_reason), MESSAGE_STOP)

    assert (finished.reason, finished.provider_reason) == (reason, provider_reason or "")


@pytest.mark.parametrize("reason", ["end_turn", None, "tool_use"])
def test_tool_calls_determine_the_finish_reason(reason: str | None) -> None:
    with_call = finished_of(
        block_start(0, type="tool_use", id="t", name="f", input={}), message_delta(reason), MESSAGE_STOP
    )
    without_call = finished_of(block_start(0, type="text", text="Hi"), message_delta(reason), MESSAGE_STOP)

    assert with_call.reason is FinishReason.TOOL_CALLS
    assert without_call.reason is FinishReason.STOP


def test_blocks_without_deltas_or_stop_events_are_read() -> None:
    events = read_stream(
        sse(
            block_start(0, type="text", text="Hello"),
            block_start(1, type="thinking", thinking="hm", signature="Sig"),
            block_start(2, type="tool_use", id="t", name="f", input={"a": 1}),
            message_delta("tool_use"),
            MESSAGE_STOP,
        )
    )

    assert completed_parts(events) == (
        Text("Hello"),
        Reasoning("hm", provider_state=b"Sig"),
        ToolCall("t", "f", '{"a":1}'),
    )


def test_unknown_events_are_ignored() -> None:
    events = read_stream(
        b": comment\n\nevent: ping\ndata:\n\n",
        sse(
            {"type": "ping"},
            {"type": "novelty", "index": 0},
            block_start(0, type="hologram", text="?"),
            block_delta(0, type="text_delta", text="not text"),
            block_stop(0),
            block_start(1, type="text", text="", more=1),
            block_delta(1, type="citations_delta", citation={}),
            block_delta(1, type="text_delta", text="Hi"),
            block_delta(1, type="text_delta", text=None),
            block_delta(1, type="signature_delta", signature="of no thinking"),
            {"type": "content_block_delta", "index": 1, "delta": None},
            block_stop(1),
            "[DONE]",
            message_delta("end_turn"),
            MESSAGE_STOP,
        ),
    )

    assert completed_parts(events) == (Text("Hi"),)
    assert isinstance(events[-1], Finished)


def test_data_after_the_completion_event_is_ignored() -> None:
    reader = anthropic_wire().stream_reader()

    events = reader.feed(sse(message_delta(), MESSAGE_STOP, block_start(0, type="text", text="late")))

    assert [type(event) for event in events] == [Finished]
    assert reader.feed(sse(block_start(1, type="text", text="later"), "garbage")) == []
    assert reader.end() == []


def test_last_event_may_lack_its_blank_line() -> None:
    assert isinstance(read_stream(sse(message_delta(), MESSAGE_STOP).rstrip(b"\n"))[-1], Finished)
