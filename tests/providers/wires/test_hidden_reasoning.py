"""Hidden reasoning is reported as progress on every wire, and never as content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.response import Event, ReasoningDelta, ReasoningProgress, TextDelta
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import responses as responses_api
from tests.support.chat_completions import chat_wire, chunk, collect_events, recorded, response_body
from tests.support.http_servers.scripted import STREAM_ATTEMPT, streaming_provider
from tests.support.recordings import STREAMS, WIRES
from tests.support.wire_cases import sse

Payload = dict[str, Any]


def feed(wire: str, *payloads: Payload) -> list[Event]:
    """Return the events of an open stream, with one read per event."""
    reader = WIRES[wire].stream_reader()
    return [event for payload in payloads for event in reader.feed(sse(payload))]


def chat_chunk(delta: Payload, reason: str | None = None) -> Payload:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


ROLE = chat_chunk({"role": "assistant", "content": "", "reasoning": None, "reasoning_content": ""})
REASONING_ADDED = responses_api.item_added(0, type="reasoning", id="rs_1")

ENCRYPTED = {"type": "reasoning.encrypted", "data": "gAAAA"}

HIDDEN: list[tuple[str, tuple[Payload, ...]]] = [
    ("anthropic", (anthropic_api.block_start(0, type="thinking", thinking="", signature=""),)),
    ("anthropic", (anthropic_api.block_start(0, type="thinking", thinking="", signature="Eq9"),)),
    ("anthropic", (anthropic_api.block_start(0, type="redacted_thinking", data="Emw"),)),
    ("responses", (REASONING_ADDED,)),
    ("responses", ({"type": "response.reasoning_summary_part.added", "output_index": 0},)),
    ("chat_completions", (chat_chunk({"role": "assistant", "reasoning_details": [ENCRYPTED]}),)),
]


@pytest.mark.parametrize(("wire", "payloads"), HIDDEN)
def test_hidden_reasoning_is_progress(wire: str, payloads: tuple[Payload, ...]) -> None:
    assert feed(wire, *payloads) == [ReasoningProgress()]


@pytest.mark.parametrize(
    ("wire", "payloads"),
    [
        (
            "anthropic",
            (
                {"type": "ping"},
                anthropic_api.message_start(input_tokens=1),
                anthropic_api.block_start(0, type="text", text=""),
            ),
        ),
        (
            "anthropic",
            (
                anthropic_api.block_start(0, type="text"),
                anthropic_api.block_delta(0, type="signature_delta", signature="E"),
            ),
        ),
        ("responses", ({"type": "response.created"}, {"type": "response.in_progress"})),
        (
            "responses",
            (responses_api.item_added(0, type="message", id="m"), responses_api.delta_event("output_text", "")),
        ),
        ("gemini", (gemini_api.response({"text": ""}), gemini_api.usage_metadata(prompt=3))),
        ("chat_completions", (ROLE,)),
        ("chat_completions", (chat_chunk({"reasoning": ""}), chat_chunk({"reasoning_content": ""}))),
        ("chat_completions", (ROLE, chat_chunk({"role": "assistant", "content": "", "reasoning": None}))),
        ("chat_completions", (chat_chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": ""}]}),)),
        ("mistral", (chat_chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": ""}]}]}),)),
        ("mistral", (chat_chunk({"content": [{"type": "thinking", "thinking": ""}]}),)),
        ("responses", (responses_api.delta_event("reasoning_summary_text", ""),)),
        ("gemini", (gemini_api.response({"text": "", "thought": True}), gemini_api.response({"thought": True}))),
        ("chat_completions", (ROLE, chat_chunk({}), chat_chunk({"content": ""}), {"choices": []})),
        ("chat_completions", (chat_chunk({"role": "assistant", "content": "", "refusal": None}),)),
        ("chat_completions", (ROLE, chat_chunk({"content": "", "reasoning_content": None}, "stop"))),
        ("mistral", (chat_chunk({"content": [{"type": "text", "text": ""}]}), chat_chunk({"content": []}))),
    ],
)
def test_other_empty_events_are_no_progress(wire: str, payloads: tuple[Payload, ...]) -> None:
    assert feed(wire, *payloads) == []


@pytest.mark.parametrize(
    ("wire", "payload", "expected"),
    [
        ("anthropic", anthropic_api.block_start(0, type="thinking", thinking="Hm"), ReasoningDelta(0, "Hm")),
        ("responses", responses_api.delta_event("reasoning_summary_text", "Hm"), ReasoningDelta(0, "Hm")),
        ("gemini", gemini_api.response({"text": "Hm", "thought": True}), ReasoningDelta(0, "Hm")),
        ("chat_completions", chat_chunk({"reasoning": "Hm", "content": ""}), ReasoningDelta(0, "Hm")),
        ("chat_completions", chat_chunk({"reasoning": "", "content": "Hi"}), TextDelta(0, "Hi")),
    ],
)
def test_visible_content_adds_no_progress(wire: str, payload: Payload, expected: Event) -> None:
    assert feed(wire, payload) == [expected]


def test_anthropic_empty_deltas_of_reasoning_are_silence() -> None:
    block = anthropic_api.block_start(0, type="thinking", thinking="", signature="")
    empty = anthropic_api.block_delta(0, type="thinking_delta", thinking="")

    assert feed("anthropic", block, empty, empty) == [ReasoningProgress()]


def test_progress_of_one_read_is_merged() -> None:
    reader = WIRES["anthropic"].stream_reader()
    block = anthropic_api.block_start(0, type="thinking", thinking="")

    events = reader.feed(sse(block, anthropic_api.block_delta(0, type="thinking_delta", thinking="")))

    assert events == [ReasoningProgress()]


@pytest.mark.parametrize("name", [name for _, name in STREAMS if name.startswith("deepseek/")])
def test_deepseek_first_chunk_is_no_progress(name: str) -> None:
    reader = chat_wire("deepseek").stream_reader()
    stream = recorded(name)

    assert reader.feed(stream[: stream.index(b"\n\ndata: ", stream.index(b"role")) + 2]) == []


@pytest.mark.parametrize(
    ("wire", "response"),
    [
        ("anthropic", {"content": [{"type": "thinking", "thinking": "", "signature": "E"}], "stop_reason": "end_turn"}),
        ("responses", {"status": "completed", "output": [{"type": "reasoning", "id": "r", "encrypted_content": "g"}]}),
        ("gemini", gemini_api.response({"text": "", "thought": True}, {"text": "Hi"}, finish="STOP")),
        ("chat_completions", json.loads(response_body({"content": "", "reasoning": ""}))),
        ("chat_completions", json.loads(response_body({"content": "", "reasoning_details": [{}]}))),
    ],
)
def test_unstreamed_response_has_no_progress(wire: str, response: Payload) -> None:
    events = WIRES[wire].decode(json.dumps(response).encode())

    assert ReasoningProgress() not in events


async def test_progress_is_the_first_content_of_a_stream() -> None:
    progress, rest = chunk(reasoning_details=[ENCRYPTED]), chunk(content="Hi")
    provider, _ = streaming_provider(progress, rest, b"data: [DONE]\n\n")

    response = await provider(STREAM_ATTEMPT)

    assert [type(event) for event in await collect_events(response)][:2] == [ReasoningProgress, TextDelta]
