"""Recorded responses of the Messages API, compared with what the SDK parses."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from anthropic.types import Message as SdkMessage

from aimanager_server.core.content import Part, Reasoning, Text, ToolCall
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    TextDelta,
)
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.anthropic import RECORDINGS, anthropic_wire, read_stream, recorded_body, recorded_stream
from tests.support.wire_cases import completed_parts, finished_event

FINISH_REASONS = {
    "text": FinishReason.STOP,
    "cache_written": FinishReason.STOP,
    "cache_read": FinishReason.STOP,
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

KNOWN_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use")


def comparable(part: Part) -> Any:
    """Return a part with parsed tool arguments, because the SDK keeps no JSON text."""
    if isinstance(part, ToolCall):
        return (part.id, part.name, json.loads(part.arguments_json))
    return part


def sdk_parts(message: SdkMessage) -> list[Any]:
    """Return the content blocks of the SDK's message as comparable parts."""
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
    if message.stop_reason == "refusal" and not parts:
        assert message.stop_details is not None
        return [Text(message.stop_details.explanation or "")]
    return parts


def sdk_usage(message: SdkMessage) -> Usage:
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
        usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0,
    )


def sdk_summary(message: SdkMessage) -> tuple[Any, ...]:
    return sdk_parts(message), message.stop_reason, sdk_usage(message)


def summary(events: list[Event]) -> tuple[Any, ...]:
    finished = finished_event(events)
    return [comparable(part) for part in completed_parts(events)], finished.provider_reason, finished.usage


def sdk_client(body: bytes, media_type: str) -> AsyncAnthropic:
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, headers={"content-type": media_type}, content=body)
    )
    return AsyncAnthropic(api_key="k", http_client=httpx2.AsyncClient(transport=transport))


REQUEST: Any = {"model": "claude-opus-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


async def sdk_message(name: str) -> SdkMessage:
    async with sdk_client(recorded_body(name), "application/json") as client:
        message: SdkMessage = await client.messages.create(**REQUEST)
        return message


async def sdk_streamed_message(name: str) -> SdkMessage:
    async with (
        sdk_client(recorded_stream(name), "text/event-stream") as client,
        client.messages.stream(**REQUEST) as stream,
    ):
        return await stream.get_final_message()


async def test_responses_are_parsed_as_the_sdk_parses_them() -> None:
    expected = {name: sdk_summary(await sdk_message(name)) for name in RECORDINGS}

    assert {name: summary(anthropic_wire().decode(recorded_body(name))) for name in RECORDINGS} == expected


async def test_streams_are_parsed_as_the_sdk_parses_them() -> None:
    expected = {name: sdk_summary(await sdk_streamed_message(name)) for name in RECORDINGS}

    assert {name: summary(read_stream(recorded_stream(name))) for name in RECORDINGS} == expected


def test_stop_reasons_are_mapped() -> None:
    reasons = {name: finished_event(anthropic_wire().decode(recorded_body(name))).reason for name in RECORDINGS}

    assert reasons == FINISH_REASONS


def test_input_tokens_include_cached_tokens() -> None:
    finished = finished_event(read_stream(recorded_stream("parallel_tools")))

    assert finished.usage == Usage(412 + 2048 + 256, 120, 2048, 256, 64, UsageSource.REPORTED)


def test_fragments_of_one_read_are_merged() -> None:
    deltas = [event for event in read_stream(recorded_stream("text")) if isinstance(event, TextDelta)]

    assert len(deltas) == 1


def test_refusal_with_text_adds_no_explanation() -> None:
    assert completed_parts(read_stream(recorded_stream("refusal_midway"))) == (Text("First, you"),)


def test_recorded_block_types_are_known_or_ignored() -> None:
    kinds = {block["type"] for name in RECORDINGS for block in json.loads(recorded_body(name))["content"]}

    assert kinds == {*KNOWN_BLOCKS, "server_tool_use"}
    assert [type(event) for event in read_stream(recorded_stream("paused"))] == [TextDelta, PartCompleted, Finished]
