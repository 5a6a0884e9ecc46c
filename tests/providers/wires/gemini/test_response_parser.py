"""Recorded responses of the Gemini API, compared with what the SDK parses."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import httpx
from google import genai
from google.genai import types

from aimanager_server.core.content import Attachment, Reasoning, Text, ToolCall
from aimanager_server.core.response import Event, FinishReason, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.gemini import (
    BODY_RECORDINGS,
    STREAM_RECORDINGS,
    gemini_wire,
    read_stream,
    recorded_body,
    recorded_stream,
)
from tests.support.wire_cases import completed_parts, finished_event

FINISH_REASONS = {
    "continuation": FinishReason.MAX_TOKENS,
    "image": FinishReason.STOP,
    "max_tokens": FinishReason.MAX_TOKENS,
    "no_ids": FinishReason.TOOL_CALLS,
    "other_parts": FinishReason.STOP,
    "parallel_tools": FinishReason.TOOL_CALLS,
    "recitation": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "second_candidate": FinishReason.STOP,
    "signed_text": FinishReason.STOP,
    "signed_thought": FinishReason.STOP,
    "text": FinishReason.STOP,
    "thought_only": FinishReason.MAX_TOKENS,
}

ENDLESS = "continuation"
"""The SDK requests the continuation of this one by itself, endlessly."""


def has_generated_id(call: ToolCall) -> bool:
    return call.id.startswith("call_")


def sdk_client(content: bytes, content_type: str) -> genai.Client:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=content)

    http = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    return genai.Client(api_key="key", http_options=types.HttpOptions(httpx_async_client=http))


async def sdk_chunks(name: str, *, streaming: bool) -> list[types.GenerateContentResponse]:
    if not streaming:
        client = sdk_client(recorded_body(name), "application/json")
        return [await client.aio.models.generate_content(model="m", contents="Hi")]
    client = sdk_client(recorded_stream(name), "text/event-stream")
    return [chunk async for chunk in await client.aio.models.generate_content_stream(model="m", contents="Hi")]


def sdk_summary(chunks: list[types.GenerateContentResponse]) -> dict[str, Any]:
    """Return what the SDK parsed, with fragments joined."""
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or () if not candidate.index]
    parts = [part for candidate in candidates for part in (candidate.content and candidate.content.parts) or ()]
    supported = [part for part in parts if not part.executable_code]
    usage = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata][-1]
    thoughts = usage.thoughts_token_count or 0
    return {
        "text": "".join(part.text for part in parts if part.text and not part.thought),
        "reasoning": "".join(part.text for part in parts if part.text and part.thought),
        "calls": [(call.id, call.name, call.args or {}) for part in parts if (call := part.function_call)],
        "files": [(blob.mime_type, blob.data) for part in parts if (blob := part.inline_data)],
        "signatures": [part.thought_signature for part in supported if part.thought_signature],
        "finish": [candidate.finish_reason.value for candidate in candidates if candidate.finish_reason][-1],
        "usage": (
            (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
            (usage.candidates_token_count or 0) + thoughts,
            usage.cached_content_token_count or 0,
            thoughts,
        ),
    }


def summary(events: list[Event]) -> dict[str, Any]:
    parts, usage = completed_parts(events), finished_event(events).usage
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "reasoning": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "calls": [
            (None if has_generated_id(part) else part.id, part.name, json.loads(part.arguments_json))
            for part in parts
            if isinstance(part, ToolCall)
        ],
        "files": [(part.mime_type, part.data) for part in parts if isinstance(part, Attachment)],
        "signatures": [b64decode(part.provider_state) for part in parts if part.provider_state],
        "finish": finished_event(events).provider_reason,
        "usage": (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens),
    }


async def test_responses_are_parsed_as_the_sdk_parses_them() -> None:
    names = [name for name in BODY_RECORDINGS if name != ENDLESS]
    expected = {name: sdk_summary(await sdk_chunks(name, streaming=False)) for name in names}

    assert {name: summary(gemini_wire().decode(recorded_body(name))) for name in names} == expected


async def test_streams_are_parsed_as_the_sdk_parses_them() -> None:
    names = [name for name in STREAM_RECORDINGS if name != ENDLESS]
    expected = {name: sdk_summary(await sdk_chunks(name, streaming=True)) for name in names}

    assert {name: summary(read_stream(recorded_stream(name))) for name in names} == expected


def test_stream_without_sse_is_parsed_alike() -> None:
    def as_list(stream: bytes) -> bytes:
        lines = [line for line in stream.decode().split("\n") if line.strip()]
        return json.dumps([json.loads(line.removeprefix("data: ")) for line in lines]).encode()

    streams = {name: recorded_stream(name) for name in STREAM_RECORDINGS}

    decoded = {name: summary(gemini_wire().decode(as_list(stream))) for name, stream in streams.items()}

    assert decoded == {name: summary(read_stream(stream)) for name, stream in streams.items()}


def test_finish_reasons_are_mapped() -> None:
    reasons = {name: finished_event(read_stream(recorded_stream(name))).reason for name in STREAM_RECORDINGS}

    assert reasons == FINISH_REASONS


def test_signatures_are_kept_unchanged() -> None:
    signatures = {
        json.loads(recorded_body("signed_text"))["candidates"][0]["content"]["parts"][1]["thoughtSignature"].encode()
    }

    states = {part.provider_state for part in completed_parts(read_stream(recorded_stream("signed_text")))} - {b""}

    assert states == signatures
    assert b64encode(b64decode(signatures.pop())) in states


def test_output_includes_reasoning_and_input_includes_cached_tokens() -> None:
    usage = finished_event(read_stream(recorded_stream("parallel_tools"))).usage

    assert usage == Usage(412, 38 + 64, 256, 0, 64, UsageSource.REPORTED)


def test_tool_use_prompt_tokens_are_input() -> None:
    assert finished_event(read_stream(recorded_stream("other_parts"))).usage.input_tokens == 10 + 40


def test_tool_call_without_an_id_gets_one() -> None:
    ids = [part.id for part in completed_parts(read_stream(recorded_stream("no_ids"))) if isinstance(part, ToolCall)]

    assert all(ids)
    assert len(set(ids)) == 2


def test_filtered_text_is_kept() -> None:
    assert completed_parts(read_stream(recorded_stream("safety"))) == (Text("First, you"),)


def test_fragments_of_one_read_are_merged() -> None:
    assert [event for event in read_stream(recorded_stream("text")) if isinstance(event, TextDelta)] == [
        TextDelta(0, "Grüße aus Rom 😀.\u2028")
    ]


def test_inline_file_is_a_separate_part() -> None:
    parts = completed_parts(read_stream(recorded_stream("image")))

    assert [type(part) for part in parts] == [Text, Attachment]
