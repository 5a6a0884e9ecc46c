"""Signs that a model thinks, of which nobody is shown what: they count as progress, and never as content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.response import Event, ReasoningDelta, ReasoningProgress, TextDelta
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import responses as responses_api
from tests.support.chat_completions import dialect, events_of, fixture
from tests.support.chat_completions_answers import body, chunk
from tests.support.http_servers.scripted import STREAMED, streaming
from tests.support.recordings import STREAMS, WIRES

Payload = dict[str, Any]


def fed(wire: str, *payloads: Payload) -> list[Event]:
    """What a stream that goes on has said so far, each event read by itself."""
    reader = WIRES[wire].reader()
    return [event for payload in payloads for event in reader.feed(anthropic_api.sse(payload))]


def said(delta: Payload, reason: str | None = None) -> Payload:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


ROLE = said({"role": "assistant", "content": "", "reasoning": None, "reasoning_content": ""})
THOUGHT = responses_api.added(0, type="reasoning", id="rs_1")

SIGNS: list[tuple[str, tuple[Payload, ...]]] = [
    ("claude", (anthropic_api.block(0, type="thinking", thinking="", signature=""),)),
    ("claude", (anthropic_api.block(0, type="thinking", thinking="", signature="Eq9"),)),
    ("claude", (anthropic_api.block(0, type="redacted_thinking", data="Emw"),)),
    ("responses", (THOUGHT,)),
    ("responses", ({"type": "response.reasoning_summary_part.added", "output_index": 0},)),
    ("responses", (responses_api.delta("reasoning_summary_text", ""),)),
    ("gemini", (gemini_api.response({"text": "", "thought": True}),)),
    ("gemini", (gemini_api.response({"thought": True}),)),
    ("chat_completions", (said({"reasoning": ""}),)),
    ("chat_completions", (ROLE, said({"content": "", "reasoning_content": None}))),
    ("chat_completions", (ROLE, said({"role": "assistant", "content": "", "reasoning": None}))),
    ("chat_completions", (said({"role": "assistant", "reasoning_details": [{"type": "reasoning.encrypted"}]}),)),
    ("mistral", (said({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": ""}]}]}),)),
    ("mistral", (said({"content": [{"type": "thinking", "thinking": ""}]}),)),
]


@pytest.mark.parametrize(("wire", "payloads"), SIGNS)
def test_a_model_that_thinks_unseen_says_so(wire: str, payloads: tuple[Payload, ...]) -> None:
    assert fed(wire, *payloads) == [ReasoningProgress()]


@pytest.mark.parametrize(
    ("wire", "payloads"),
    [
        (
            "claude",
            ({"type": "ping"}, anthropic_api.start(input_tokens=1), anthropic_api.block(0, type="text", text="")),
        ),
        (
            "claude",
            (anthropic_api.block(0, type="text"), anthropic_api.delta(0, type="signature_delta", signature="E")),
        ),
        ("responses", ({"type": "response.created"}, {"type": "response.in_progress"})),
        ("responses", (responses_api.added(0, type="message", id="m"), responses_api.delta("output_text", ""))),
        ("gemini", (gemini_api.response({"text": ""}), gemini_api.usage(prompt=3))),
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
        ("claude", anthropic_api.block(0, type="thinking", thinking="Hm"), ReasoningDelta(0, "Hm")),
        ("responses", responses_api.delta("reasoning_summary_text", "Hm"), ReasoningDelta(0, "Hm")),
        ("gemini", gemini_api.response({"text": "Hm", "thought": True}), ReasoningDelta(0, "Hm")),
        ("chat_completions", said({"reasoning": "Hm", "content": ""}), ReasoningDelta(0, "Hm")),
        ("chat_completions", said({"reasoning": "", "content": "Hi"}), TextDelta(0, "Hi")),
    ],
)
def test_what_is_shown_needs_no_sign(wire: str, payload: Payload, shown: Event) -> None:
    assert fed(wire, payload) == [shown]


@pytest.mark.parametrize("payload", [anthropic_api.delta(0, type="thinking_delta", thinking="")])
def test_claude_goes_on_thinking_unseen(payload: Payload) -> None:
    block = anthropic_api.block(0, type="thinking", thinking="", signature="")

    assert fed("claude", block, payload, payload) == [ReasoningProgress()] * 3


def test_signs_of_one_read_are_one() -> None:
    reader = WIRES["claude"].reader()
    block = anthropic_api.block(0, type="thinking", thinking="")

    events = reader.feed(anthropic_api.sse(block, anthropic_api.delta(0, type="thinking_delta", thinking="")))

    assert events == [ReasoningProgress()]


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
        ("gemini", gemini_api.response({"text": "", "thought": True}, {"text": "Hi"}, finish="STOP")),
        ("chat_completions", json.loads(body({"content": "", "reasoning": ""}))),
        ("chat_completions", json.loads(body({"content": "", "reasoning_details": [{}]}))),
    ],
)
def test_a_whole_answer_has_no_signs(wire: str, whole: Payload) -> None:
    events = WIRES[wire].decode(json.dumps(whole).encode())

    assert ReasoningProgress() not in events


async def test_thinking_is_the_first_content_of_a_stream() -> None:
    sign, rest = chunk(reasoning=""), chunk(content="Hi")
    provider, _ = streaming(sign, rest, b"data: [DONE]\n\n")

    reply = await provider(STREAMED)

    assert [type(event) for event in await events_of(reply)][:2] == [ReasoningProgress, TextDelta]
