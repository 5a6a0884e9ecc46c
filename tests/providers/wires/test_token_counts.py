"""Impossible token counts are corrected and marked as estimated, on every wire and in both forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aimanager_server.core.usage import Usage, UsageSource
from tests.support.recordings import WIRES
from tests.support.wire_cases import finished_event, sse

Responses = Callable[[Any, Any, Any], tuple[dict[str, Any], tuple[dict[str, Any], ...]]]
"""Returns a response with these input, cached and output counts, as a body and as the payloads of a stream."""


def chat_completions(prompt: Any, cached: Any, output: Any) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    message = {"role": "assistant", "content": "Hi"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    return body, ({"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}], "usage": usage},)


def anthropic(prompt: Any, cached: Any, output: Any) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    usage = {"input_tokens": prompt, "cache_read_input_tokens": cached, "output_tokens": output}
    block = {"type": "text", "text": "Hi"}
    events = (
        {"type": "message_start", "message": {"role": "assistant", "content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": output}},
        {"type": "message_stop"},
    )
    return {"content": [block], "stop_reason": "end_turn", "usage": usage}, events


def responses(prompt: Any, cached: Any, output: Any) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output,
    }
    message = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi"}]}
    body = {"status": "completed", "output": [message], "usage": usage}
    return body, ({"type": "response.completed", "response": body},)


def gemini(prompt: Any, cached: Any, output: Any) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    usage = {"promptTokenCount": prompt, "cachedContentTokenCount": cached, "candidatesTokenCount": output}
    candidate = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
    body = {"candidates": [candidate], "usageMetadata": usage}
    return body, (body,)


WIRE_RESPONSES: dict[str, Responses] = {
    "chat_completions": chat_completions,
    "anthropic": anthropic,
    "responses": responses,
    "gemini": gemini,
}
BIG = json.loads("1e400")
IMPOSSIBLE = (
    -5,
    float("nan"),
    BIG,
    -BIG,
    True,
    7.5,
    10**30,
    2**53,
    "12 tokens",
    "",
    "²",
    "1" * 5000,
    [12],
    {"count": 12},
)


def usages(wire: str, *counts: Any) -> set[Usage]:
    """Return the usage of both forms of a response with these counts."""
    body, events = WIRE_RESPONSES[wire](*counts)
    reader = WIRES[wire].stream_reader()
    streamed = [*reader.feed(sse(*events)), *reader.end()]
    return {finished_event(found).usage for found in (WIRES[wire].decode(json.dumps(body).encode()), streamed)}


@pytest.mark.parametrize("wire", WIRE_RESPONSES)
def test_an_impossible_count_makes_the_usage_an_estimate(wire: str) -> None:
    found = {usage for value in IMPOSSIBLE for usage in usages(wire, 11, 0, value)}

    assert found == {Usage(11, 0, source=UsageSource.ESTIMATED)}


@pytest.mark.parametrize("wire", WIRE_RESPONSES)
def test_a_usage_with_only_impossible_counts_is_missing(wire: str) -> None:
    assert {value for each in IMPOSSIBLE for value in usages(wire, each, each, each)} == {Usage()}


@pytest.mark.parametrize("wire", WIRE_RESPONSES)
def test_a_whole_number_in_another_form_is_reported(wire: str) -> None:
    found = [usages(wire, *counts) for counts in ((11, 4, 12), (11.0, 4.0, 12.0), ("11", "4", "12"))]

    total = 15 if wire == "anthropic" else 11
    assert found == [{Usage(total, 12, 4, source=UsageSource.REPORTED)}] * 3


@pytest.mark.parametrize("wire", ["chat_completions", "responses", "gemini"])
def test_more_cached_tokens_than_input_tokens_are_limited_to_it(wire: str) -> None:
    assert usages(wire, 7, 700, 12) == {Usage(7, 12, 7, source=UsageSource.ESTIMATED)}


def test_parts_of_a_total_are_limited_together() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 50},
    }
    body = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage}

    found = finished_event(WIRES["chat_completions"].decode(json.dumps(body).encode())).usage

    assert found == Usage(10, 5, 8, 2, 5, UsageSource.ESTIMATED)


def test_an_impossible_count_keeps_the_previous_one_of_a_stream() -> None:
    reader = WIRES["gemini"].stream_reader()

    reader.feed(sse(gemini(11, 0, 12)[0] | {"candidates": []}))
    reader.feed(sse(gemini(11, 0, -1)[0] | {"candidates": []}))
    estimated = reader.usage
    reader.feed(sse(gemini(11, 0, 14)[0] | {"candidates": []}))

    assert estimated == Usage(11, 12, source=UsageSource.ESTIMATED)
    assert reader.usage == Usage(11, 14, source=UsageSource.REPORTED)
