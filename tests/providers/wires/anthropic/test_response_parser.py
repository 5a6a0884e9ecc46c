from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message as VendorMessage

from aimanager_server.core.content import Part, Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.anthropic import ANSWERS, body_of, claude, completed, stream_of, streamed

REASONS = {
    "text": FinishReason.STOP,
    "parallel_tools": FinishReason.TOOL_CALLS,
    "redacted": FinishReason.STOP,
    "refusal": FinishReason.REFUSAL,
    "refusal_midway": FinishReason.REFUSAL,
    "max_tokens": FinishReason.MAX_TOKENS,
    "stop_sequence": FinishReason.STOP,
    "context_window": FinishReason.CONTEXT_WINDOW,
    "paused": FinishReason.PAUSED,
    "empty": FinishReason.STOP,
}


OWN_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use")


def joined(events: list[Event]) -> list[Event]:
    """The events as if every part had come in one piece, deltas first."""
    merged: list[Event] = []
    for event in events:
        last = merged[-1] if merged else None
        if (
            isinstance(event, TextDelta | ReasoningDelta)
            and isinstance(last, type(event))
            and last.index == event.index
        ):
            merged[-1] = type(event)(event.index, last.text + event.text)
        elif isinstance(event, ToolCallDelta) and isinstance(last, ToolCallDelta) and last.index == event.index:
            whole = last.arguments_json + event.arguments_json
            merged[-1] = ToolCallDelta(event.index, last.id, last.name, whole)
        else:
            merged.append(event)
    return merged


def plain(part: Part) -> Any:
    """A part, with the arguments of a tool call read: the two ways space them differently."""
    if isinstance(part, ToolCall):
        return (part.id, part.name, json.loads(part.arguments_json))
    return part


def vendors(message: VendorMessage) -> list[Any]:
    """The vendor's blocks in our words."""
    parts: list[Any] = []
    for block in message.content:
        match block.type:
            case "text":
                parts.append(Text(block.text))
            case "thinking":
                parts.append(Reasoning(block.thinking, provider_state=block.signature.encode()))
            case "redacted_thinking":
                parts.append(Reasoning("", redacted=True, provider_state=block.data.encode()))
            case "tool_use":
                parts.append((block.id, block.name, block.input))
    return parts


def vendors_usage(message: VendorMessage) -> Usage:
    usage = message.usage
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details = usage.output_tokens_details
    return Usage(
        usage.input_tokens + read + written,
        usage.output_tokens,
        read,
        written,
        details.thinking_tokens if details else 0,
        UsageSource.REPORTED,
    )


def vendor_client(body: bytes, media_type: str) -> AsyncAnthropic:
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, headers={"content-type": media_type}, content=body)
    )
    return AsyncAnthropic(api_key="k", http_client=httpx2.AsyncClient(transport=transport))


ASKED: Any = {"model": "claude-opus-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


def check_against_vendor(events: list[Event], message: VendorMessage) -> None:
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.provider_reason == message.stop_reason
    assert finished.usage == vendors_usage(message)
    said = vendors(message)
    if message.stop_reason == "refusal" and not said:
        assert message.stop_details is not None
        said = [Text(message.stop_details.explanation or "")]
    assert [plain(part) for part in completed(events)] == said


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_whole_answer_is_read_as_the_vendors_client_reads_it(name: str) -> None:
    async with vendor_client(body_of(name), "application/json") as client:
        message = await client.messages.create(**ASKED)

    check_against_vendor(claude().decode(body_of(name)), message)


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_stream_is_read_as_the_vendors_client_reads_it(name: str) -> None:
    async with (
        vendor_client(stream_of(name), "text/event-stream") as client,
        client.messages.stream(**ASKED) as stream,
    ):
        message = await stream.get_final_message()

    check_against_vendor(streamed(stream_of(name)), message)


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_whole_answer_gives_its_stream_gives(name: str) -> None:
    whole, stream = claude().decode(body_of(name)), streamed(stream_of(name))

    assert [plain(part) for part in completed(whole)] == [plain(part) for part in completed(stream)]
    assert whole[-1] == stream[-1]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_gives_the_same_byte_by_byte(name: str) -> None:
    data = stream_of(name)

    events = streamed(*(data[place : place + 1] for place in range(len(data))))

    assert joined(events) == joined(streamed(data))


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_gives_the_same_wherever_it_is_cut(name: str) -> None:
    data = stream_of(name)
    once = joined(streamed(data))

    assert [cut for cut in range(1, len(data)) if joined(streamed(data[:cut], data[cut:])) != once] == []


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_without_its_end_is_no_answer(name: str) -> None:
    data = stream_of(name)
    reader = claude().reader()
    reader.feed(data[: data.index(b"event: message_stop")])

    with pytest.raises(ProviderProtocolError, match="message_stop"):
        reader.end()


@pytest.mark.parametrize("name", ANSWERS)
def test_the_reason_to_finish_is_put_in_our_words(name: str) -> None:
    finished = claude().decode(body_of(name))[-1]

    assert isinstance(finished, Finished)
    assert finished.reason is REASONS[name]


def test_totals_hold_what_was_cached() -> None:
    finished = streamed(stream_of("parallel_tools"))[-1]

    assert isinstance(finished, Finished)
    assert finished.usage == Usage(412 + 2048 + 256, 120, 2048, 256, 64, UsageSource.REPORTED)


def test_pieces_of_a_part_in_one_read_become_one_event() -> None:
    deltas = [event for event in streamed(stream_of("text")) if isinstance(event, TextDelta)]

    assert len(deltas) == 1


def test_a_refusal_that_said_something_adds_nothing() -> None:
    assert completed(streamed(stream_of("refusal_midway"))) == [Text("First, you")]


def test_every_recorded_block_is_one_we_know_or_pass_over() -> None:
    kinds = {block["type"] for name in ANSWERS for block in json.loads(body_of(name))["content"]}

    assert kinds == {*OWN_BLOCKS, "server_tool_use"}
    assert [type(event) for event in streamed(stream_of("paused"))] == [TextDelta, PartCompleted, Finished]
