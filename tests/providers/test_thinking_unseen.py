"""Signs that a model thinks, of which nobody is shown what: they count as progress, and never as content."""

from __future__ import annotations

import json
from typing import Any

import pytest

import claude_cases
import gemini_cases
import responses_cases
from aimanager_server.core.response import Event, ReasoningDelta, TextDelta, Thinking
from chat_answers import body, chunk
from chat_world import dialect, events_of, fixture
from recorded_wires import STREAMS, WIRES
from scripted_http import STREAMED, streaming

Payload = dict[str, Any]


def fed(wire: str, *payloads: Payload) -> list[Event]:
    """What a stream that goes on has said so far, each event read by itself."""
    reader = WIRES[wire].reader()
    return [event for payload in payloads for event in reader.feed(claude_cases.sse(payload))]


def said(delta: Payload, reason: str | None = None) -> Payload:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


ROLE = said({"role": "assistant", "content": "", "reasoning": None, "reasoning_content": ""})
THOUGHT = responses_cases.added(0, type="reasoning", id="rs_1")

SIGNS: list[tuple[str, tuple[Payload, ...]]] = [
    ("claude", (claude_cases.block(0, type="thinking", thinking="", signature=""),)),
    ("claude", (claude_cases.block(0, type="thinking", thinking="", signature="Eq9"),)),
    ("claude", (claude_cases.block(0, type="redacted_thinking", data="Emw"),)),
    ("responses", (THOUGHT,)),
    ("responses", ({"type": "response.reasoning_summary_part.added", "output_index": 0},)),
    ("responses", (responses_cases.delta("reasoning_summary_text", ""),)),
    ("gemini", (gemini_cases.response({"text": "", "thought": True}),)),
    ("gemini", (gemini_cases.response({"thought": True}),)),
    ("chat_completions", (said({"reasoning": ""}),)),
    ("chat_completions", (ROLE, said({"content": "", "reasoning_content": None}))),
    ("chat_completions", (ROLE, said({"role": "assistant", "content": "", "reasoning": None}))),
    ("chat_completions", (said({"role": "assistant", "reasoning_details": [{"type": "reasoning.encrypted"}]}),)),
    ("mistral", (said({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": ""}]}]}),)),
    ("mistral", (said({"content": [{"type": "thinking", "thinking": ""}]}),)),
]


@pytest.mark.parametrize(("wire", "payloads"), SIGNS)
def test_a_model_that_thinks_unseen_says_so(wire: str, payloads: tuple[Payload, ...]) -> None:
    assert fed(wire, *payloads) == [Thinking()]


@pytest.mark.parametrize(
    ("wire", "payloads"),
    [
        ("claude", ({"type": "ping"}, claude_cases.start(input_tokens=1), claude_cases.block(0, type="text", text=""))),
        ("claude", (claude_cases.block(0, type="text"), claude_cases.delta(0, type="signature_delta", signature="E"))),
        ("responses", ({"type": "response.created"}, {"type": "response.in_progress"})),
        ("responses", (responses_cases.added(0, type="message", id="m"), responses_cases.delta("output_text", ""))),
        ("gemini", (gemini_cases.response({"text": ""}), gemini_cases.usage(prompt=3))),
        ("chat_completions", (ROLE,)),
        ("chat_completions", (ROLE, said({}), said({"content": ""}), {"choices": []})),
        ("chat_completions", (said({"role": "assistant", "content": "", "refusal": None}),)),
        ("chat_completions", (ROLE, said({"content": "", "reasoning_content": None}, "stop"))),
        ("mistral", (said({"content": [{"type": "text", "text": ""}]}), said({"content": []}))),
    ],
)
def test_signs_of_life_are_no_signs_of_thinking(wire: str, payloads: tuple[Payload, ...]) -> None:
    assert fed(wire, *payloads) == []


@pytest.mark.parametrize(
    ("wire", "payload", "shown"),
    [
        ("claude", claude_cases.block(0, type="thinking", thinking="Hm"), ReasoningDelta(0, "Hm")),
        ("responses", responses_cases.delta("reasoning_summary_text", "Hm"), ReasoningDelta(0, "Hm")),
        ("gemini", gemini_cases.response({"text": "Hm", "thought": True}), ReasoningDelta(0, "Hm")),
        ("chat_completions", said({"reasoning": "Hm", "content": ""}), ReasoningDelta(0, "Hm")),
        ("chat_completions", said({"reasoning": "", "content": "Hi"}), TextDelta(0, "Hi")),
    ],
)
def test_what_is_shown_needs_no_sign(wire: str, payload: Payload, shown: Event) -> None:
    assert fed(wire, payload) == [shown]


@pytest.mark.parametrize("payload", [claude_cases.delta(0, type="thinking_delta", thinking="")])
def test_claude_goes_on_thinking_unseen(payload: Payload) -> None:
    block = claude_cases.block(0, type="thinking", thinking="", signature="")

    assert fed("claude", block, payload, payload) == [Thinking()] * 3


def test_signs_of_one_read_are_one() -> None:
    reader = WIRES["claude"].reader()
    block = claude_cases.block(0, type="thinking", thinking="")

    events = reader.feed(claude_cases.sse(block, claude_cases.delta(0, type="thinking_delta", thinking="")))

    assert events == [Thinking()]


@pytest.mark.parametrize("name", [name for _, name in STREAMS if name.startswith("deepseek/")])
def test_deepseeks_first_chunk_names_a_role_and_no_thought(name: str) -> None:
    reader = dialect("deepseek").reader()
    stream = fixture(name)

    assert reader.feed(stream[: stream.index(b"\n\ndata: ", stream.index(b"role")) + 2]) == []


@pytest.mark.parametrize(
    ("wire", "whole"),
    [
        ("claude", {"content": [{"type": "thinking", "thinking": "", "signature": "E"}], "stop_reason": "end_turn"}),
        ("responses", {"status": "completed", "output": [{"type": "reasoning", "id": "r", "encrypted_content": "g"}]}),
        ("gemini", gemini_cases.response({"text": "", "thought": True}, {"text": "Hi"}, finish="STOP")),
        ("chat_completions", json.loads(body({"content": "", "reasoning": ""}))),
        ("chat_completions", json.loads(body({"content": "", "reasoning_details": [{}]}))),
    ],
)
def test_a_whole_answer_has_no_signs(wire: str, whole: Payload) -> None:
    events = WIRES[wire].decode(json.dumps(whole).encode())

    assert Thinking() not in events


async def test_thinking_is_the_first_content_of_a_stream() -> None:
    sign, rest = chunk(reasoning=""), chunk(content="Hi")
    provider, _ = streaming(sign, rest, b"data: [DONE]\n\n")

    reply = await provider(STREAMED)

    assert [type(event) for event in await events_of(reply)][:2] == [Thinking, TextDelta]
