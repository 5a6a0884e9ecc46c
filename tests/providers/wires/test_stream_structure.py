"""Readers deliver exactly the content of a stream, or an error, however its events are arranged."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.stream_structure import check_structure, count_steps, sources
from tests.support import gemini
from tests.support.chat_completions import chunk
from tests.support.recordings import WIRES
from tests.support.wire_cases import sse


def test_mutated_streams_yield_their_content_or_an_error() -> None:
    assert {wire for _, wire, _ in sources()} == {"chat_completions", "gemini"}
    for number in range(400):
        check_structure(Random(f"structure/{number}"), counts_steps=number % 10 == 0)


def fragment(call_id: str = "") -> bytes:
    return chunk(tool_calls=[{"index": 0, "id": call_id, "function": {"name": "look", "arguments": "1"}}])


CONTENTS: dict[str, tuple[str, list[bytes]]] = {
    "text": ("chat_completions", [chunk(content="word ")]),
    "finish reasons": ("chat_completions", [sse({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]})]),
    "arguments": ("chat_completions", [fragment()]),
    "changing ids": ("chat_completions", [fragment(f"x{number}") for number in range(9)]),
    "lists": ("chat_completions", [chunk(content=[{"type": "text", "text": "a"}, "b"])]),
    "Gemini text": ("gemini", [sse(gemini.response({"text": "word "}))]),
    "Gemini finish reasons": ("gemini", [sse(gemini.response({"text": "word "}, finish="STOP"))]),
}


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(("wire", "events"), CONTENTS.values(), ids=CONTENTS)
def test_effort_grows_linearly_with_the_number_of_events(wire: str, events: list[bytes], joined: bool) -> None:
    def steps(count: int) -> int:
        pieces = [events[number % len(events)] for number in range(count)]
        reader = WIRES[wire].stream_reader()
        return count_steps(lambda: [reader.feed(piece) for piece in ([b"".join(pieces)] if joined else pieces)])[1]

    assert steps(1600) < 10 * steps(200)
