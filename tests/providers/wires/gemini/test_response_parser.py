"""Recorded answers of Gemini: whole and streamed say the same, and what the vendor's own client reads."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types

from aimanager_server.core.content import Attachment, Part, Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, FinishReason, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.gemini import STREAMED, WHOLE, body_of, completed, finished, gemini, stream_of, streamed

REASONS = {
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

UNENDING = "continuation"
"""The vendor's client asks by itself for the rest of this one, and would do so for ever."""


def meaning(events: list[Event]) -> Any:
    """What the events say; ids that were made up here are told apart only."""
    parts = [
        replace(part, id="") if isinstance(part, ToolCall) and minted(part) else part for part in completed(events)
    ]
    return parts, events[-1]


def minted(call: ToolCall) -> bool:
    return call.id.startswith("call_")


def vendors_client(content: bytes, content_type: str) -> genai.Client:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=content)

    http = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    return genai.Client(api_key="key", http_options=types.HttpOptions(httpx_async_client=http))


async def vendors_reading(name: str, streaming: bool) -> AsyncIterator[types.GenerateContentResponse]:
    if not streaming:
        client = vendors_client(body_of(name), "application/json")
        yield await client.aio.models.generate_content(model="m", contents="Hi")
        return
    client = vendors_client(stream_of(name), "text/event-stream")
    async for piece in await client.aio.models.generate_content_stream(model="m", contents="Hi"):
        yield piece


def vendors_facts(pieces: list[types.GenerateContentResponse]) -> dict[str, Any]:
    """What the vendor's client understood, fragments joined."""
    candidates = [one for piece in pieces for one in piece.candidates or () if not one.index]
    parts = [part for one in candidates for part in (one.content and one.content.parts) or ()]
    ours = [part for part in parts if not part.executable_code]
    counted = [piece.usage_metadata for piece in pieces if piece.usage_metadata][-1]
    thoughts = counted.thoughts_token_count or 0
    return {
        "text": "".join(part.text for part in parts if part.text and not part.thought),
        "reasoning": "".join(part.text for part in parts if part.text and part.thought),
        "calls": [(call.id, call.name, call.args or {}) for part in parts if (call := part.function_call)],
        "files": [(blob.mime_type, blob.data) for part in parts if (blob := part.inline_data)],
        "signatures": [part.thought_signature for part in ours if part.thought_signature],
        "finish": [one.finish_reason.value for one in candidates if one.finish_reason][-1],
        "usage": (
            (counted.prompt_token_count or 0) + (counted.tool_use_prompt_token_count or 0),
            (counted.candidates_token_count or 0) + thoughts,
            counted.cached_content_token_count or 0,
            thoughts,
        ),
    }


def our_facts(events: list[Event]) -> dict[str, Any]:
    parts, usage = completed(events), finished(events).usage
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "reasoning": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "calls": [
            (None if minted(part) else part.id, part.name, json.loads(part.arguments_json))
            for part in parts
            if isinstance(part, ToolCall)
        ],
        "files": [(part.mime_type, part.data) for part in parts if isinstance(part, Attachment)],
        "signatures": [b64decode(part.provider_state) for part in parts if part.provider_state],
        "finish": finished(events).provider_reason,
        "usage": (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens),
    }


@pytest.mark.parametrize("name", [name for name in WHOLE if name != UNENDING])
async def test_we_read_whole_answers_as_the_vendors_client_does(name: str) -> None:
    theirs = vendors_facts([piece async for piece in vendors_reading(name, streaming=False)])

    assert our_facts(gemini().decode(body_of(name))) == theirs


@pytest.mark.parametrize("name", [name for name in STREAMED if name != UNENDING])
async def test_we_read_streams_as_the_vendors_client_does(name: str) -> None:
    theirs = vendors_facts([piece async for piece in vendors_reading(name, streaming=True)])

    assert our_facts(streamed(stream_of(name))) == theirs


@pytest.mark.parametrize("name", WHOLE)
def test_whole_and_streamed_answers_say_the_same(name: str) -> None:
    assert meaning(gemini().decode(body_of(name))) == meaning(streamed(stream_of(name)))


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_without_sse_says_the_same(name: str) -> None:
    pieces = [json.loads(line.removeprefix("data: ")) for line in stream_of(name).decode().split("\n") if line.strip()]

    events = gemini().decode(json.dumps(pieces).encode())

    assert our_facts(events) == our_facts(streamed(stream_of(name)))


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_split_at_any_byte_says_the_same(name: str) -> None:
    data = stream_of(name)
    once = meaning(streamed(data))

    assert [cut for cut in range(len(data) + 1) if meaning(streamed(data[:cut], data[cut:])) != once] == []


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_that_comes_byte_by_byte_says_the_same(name: str) -> None:
    data = stream_of(name)

    assert meaning(streamed(*(bytes([byte]) for byte in data))) == meaning(streamed(data))


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_cut_before_its_finish_reason_is_never_an_answer(name: str) -> None:
    data = stream_of(name)

    for cut in range(data.index(b"finishReason")):
        reader = gemini().reader()
        reader.feed(data[:cut])
        with pytest.raises(ProviderProtocolError, match="cut"):
            reader.end()


@pytest.mark.parametrize("name", STREAMED)
def test_the_reason_to_finish_is_put_in_our_words(name: str) -> None:
    assert finished(streamed(stream_of(name))).reason is REASONS[name]


def test_signatures_come_through_byte_for_byte() -> None:
    raw = {json.loads(body_of("signed_text"))["candidates"][0]["content"]["parts"][1]["thoughtSignature"].encode()}

    carried = {part.provider_state for part in completed(streamed(stream_of("signed_text")))} - {b""}

    assert carried == raw
    assert b64encode(b64decode(raw.pop())) in carried


def test_thoughts_are_added_to_what_was_produced_and_the_cache_is_part_of_what_was_sent() -> None:
    usage = finished(streamed(stream_of("parallel_tools"))).usage

    assert usage == Usage(412, 38 + 64, 256, 0, 64, UsageSource.REPORTED)


def test_results_of_the_providers_own_tools_are_input() -> None:
    assert finished(streamed(stream_of("other_parts"))).usage.input_tokens == 10 + 40


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    ids = [part.id for part in completed(streamed(stream_of("no_ids"))) if isinstance(part, ToolCall)]

    assert all(ids)
    assert len(set(ids)) == 2


def test_filtered_text_is_kept() -> None:
    assert completed(streamed(stream_of("safety"))) == [Text("First, you")]


def test_pieces_of_a_part_in_one_read_become_one_event() -> None:
    assert [event for event in streamed(stream_of("text")) if isinstance(event, TextDelta)] == [
        TextDelta(0, "Grüße aus Rom 😀.\u2028")
    ]


def test_a_file_is_a_part_of_its_own() -> None:
    parts: list[Part] = completed(streamed(stream_of("image")))

    assert [type(part) for part in parts] == [Text, Attachment]
