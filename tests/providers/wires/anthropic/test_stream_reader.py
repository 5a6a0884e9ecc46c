from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.response import Finished, FinishReason
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.anthropic import END, block, claude, completed, delta, message_delta, sse, start, stop, streamed


def finished_of(*payloads: dict[str, Any] | str) -> Finished:
    last = streamed(sse(*payloads))[-1]
    assert isinstance(last, Finished)
    return last


def test_later_counts_replace_earlier_ones_field_by_field() -> None:
    finished = finished_of(
        start(input_tokens=5, cache_read_input_tokens=7, output_tokens=1),
        message_delta("end_turn", output_tokens=10),
        message_delta(None, input_tokens=6, output_tokens=30, cache_read_input_tokens=None),
        END,
    )

    assert finished.usage == Usage(13, 30, 7, 0, 0, UsageSource.REPORTED)
    assert finished.provider_reason == "end_turn"


def test_a_count_nobody_made_is_missing() -> None:
    assert finished_of(start(input_tokens=0, output_tokens=0), message_delta("end_turn"), END).usage == Usage()


def test_the_usage_so_far_can_be_read_after_a_cut() -> None:
    reader = claude().reader()
    reader.feed(sse(start(input_tokens=25, output_tokens=1)))

    assert reader.usage == Usage(25, 1, source=UsageSource.REPORTED)


@pytest.mark.parametrize(
    ("reason", "ours"), [(None, FinishReason.STOP), ("compaction", FinishReason.STOP), ("new", FinishReason.OTHER)]
)
def test_a_reason_that_is_missing_or_new_is_no_failure(reason: str | None, ours: FinishReason) -> None:
    finished = finished_of(message_delta(reason), END)

    assert (finished.reason, finished.provider_reason) == (ours, reason or "")


@pytest.mark.parametrize("reason", ["end_turn", None, "tool_use"])
def test_tool_calls_are_told_from_the_content(reason: str | None) -> None:
    with_call = finished_of(block(0, type="tool_use", id="t", name="f", input={}), message_delta(reason), END)
    without_call = finished_of(block(0, type="text", text="Hi"), message_delta(reason), END)

    assert with_call.reason is FinishReason.TOOL_CALLS
    assert without_call.reason is FinishReason.STOP


def test_blocks_that_open_whole_or_never_close_are_read() -> None:
    events = streamed(
        sse(
            block(0, type="text", text="Hello"),
            block(0, type="thinking", thinking="hm", signature="Sig"),
            block(1, type="tool_use", id="t", name="f", input={"a": 1}),
            END,
        )
    )

    assert completed(events) == [
        Text("Hello"),
        Reasoning("hm", provider_state=b"Sig"),
        ToolCall("t", "f", '{"a":1}'),
    ]


def test_what_is_not_known_is_passed_over() -> None:
    events = streamed(
        b": comment\n\nevent: ping\ndata:\n\n",
        sse(
            {"type": "ping"},
            {"type": "novelty", "index": 0},
            block(0, type="hologram", text="?"),
            delta(0, type="text_delta", text="not text"),
            stop(0),
            block(1, type="text", text="", more=1),
            delta(1, type="citations_delta", citation={}),
            delta(1, type="text_delta", text="Hi"),
            delta(1, type="text_delta", text=None),
            {"type": "content_block_delta", "index": [1], "delta": {"type": "text_delta", "text": "lost"}},
            {"type": "content_block_delta", "index": 1, "delta": "nothing"},
            stop(1),
            "[DONE]",
            END,
        ),
    )

    assert completed(events) == [Text("Hi")]
    assert isinstance(events[-1], Finished)


def test_what_comes_after_the_end_is_ignored() -> None:
    reader = claude().reader()

    events = reader.feed(sse(END, block(0, type="text", text="late")))

    assert [type(event) for event in events] == [Finished]
    assert reader.feed(sse(block(1, type="text", text="later"), "garbage")) == []
    assert reader.end() == []


def test_an_end_without_its_blank_line_counts() -> None:
    assert isinstance(streamed(sse(END).rstrip(b"\n"))[-1], Finished)
