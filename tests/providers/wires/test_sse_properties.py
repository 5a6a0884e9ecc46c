"""Whatever way bytes arrive, events and answers are the same: held against a parser too slow and simple to be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aimanager_server.core.errors import GatewayError
from aimanager_server.core.response import (
    Event,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.providers.wires.dialect import Reader
from aimanager_server.providers.wires.sse import BYTE_ORDER_MARK, EventStream, ServerEvent
from tests.support.chat_completions import fixture
from tests.support.recordings import STREAMS, WIRES

LIMIT = 8 * 1024 * 1024
MEGABYTE = b"x" * 1_000_000

STABLE = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
"""The same examples on every machine, however slow."""

ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
VALUES = st.one_of(
    st.sampled_from(
        [b"", b" ", b"  x", b"[DONE]", b"a:b", b"\xed\xa0\xbd", b"\xc3", "é😀\u2028\x85".encode(), BYTE_ORDER_MARK]
    ),
    st.binary(max_size=12).map(lambda value: value.translate(None, b"\r\n")),
)
LINES = st.one_of(
    st.builds(lambda value: b"data:" + value, VALUES),
    st.builds(lambda value: b"data: " + value, VALUES),
    st.builds(lambda value: b"event: " + value, VALUES),
    st.builds(lambda value: b":" + value, VALUES),
    st.sampled_from([b"", b"", b"", b"data", b"event", b"id: 7", b"retry: 10", b" data: x", b"Data: x", b"datas: x"]),
    VALUES,
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Lines with ends of any kind, the last of which may be missing, perhaps behind a byte order mark."""
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=20))
    stream = b"".join(line + end for line, end in lines) + draw(st.one_of(st.just(b""), LINES))
    return draw(st.sampled_from([b"", BYTE_ORDER_MARK])) + stream


def split(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The pieces between cuts, which are taken modulo the length; empty ones too."""
    places = sorted(cut % (len(stream) + 1) for cut in cuts)
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        yield stream[start:end]


def slowly_parsed(stream: bytes) -> list[ServerEvent]:
    """Read byte by byte as the standard's text says, but that an event at the end needs no blank line."""
    events: list[ServerEvent] = []
    lines: list[bytes] = []
    name, line = b"", bytearray()
    stream = stream.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for byte in stream + b"\n\n":
        if byte != ord("\n"):
            line.append(byte)
            continue
        if not line:
            if lines:
                events.append(ServerEvent(name.decode(errors="replace"), b"\n".join(lines)))
            lines, name = [], b""
        field, _, value = bytes(line).partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        if field == b"event":
            name = value.removeprefix(b" ")
        line.clear()
    return events


def parsed(pieces: Iterator[bytes]) -> list[ServerEvent]:
    stream = EventStream(LIMIT)
    return [event for piece in pieces for event in stream.feed(piece)] + stream.end()


def told(reader: Reader, pieces: Iterator[bytes]) -> list[Any] | tuple[type[GatewayError], str]:
    """What an answer says, or the fault it ends with. Neither fragments nor signs of thinking count, nor minted ids."""
    try:
        events = [event for piece in pieces for event in reader.feed(piece)] + reader.end()
    except GatewayError as fault:
        return type(fault), fault.message
    minted: dict[str, str] = {}
    return [_without_minted_ids(event, minted) for event in _joined(events)]


def _joined(events: list[Event]) -> list[Event]:
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, ReasoningProgress):
            continue
        if isinstance(event, TextDelta | ReasoningDelta) and type(last) is type(event) and last.index == event.index:
            joined[-1] = type(event)(event.index, last.text + event.text)
        elif isinstance(event, ToolCallDelta) and isinstance(last, ToolCallDelta) and last.index == event.index:
            arguments = last.arguments_json + event.arguments_json
            joined[-1] = ToolCallDelta(last.index, last.id or event.id, last.name or event.name, arguments)
        else:
            joined.append(event)
    return joined


def _without_minted_ids(event: Event, minted: dict[str, str]) -> str:
    said = repr(event)
    call_id = event.id if isinstance(event, ToolCallDelta) else getattr(getattr(event, "part", None), "id", "")
    if call_id.startswith("call_") and len(call_id) == len("call_") + 24:
        return said.replace(call_id, minted.setdefault(call_id, f"minted-{len(minted)}"))
    return said


@given(streams(), st.lists(st.integers(0, 2000), max_size=6))
@settings(STABLE, max_examples=400)
def test_any_stream_means_what_the_standard_says(stream: bytes, cuts: list[int]) -> None:
    assert parsed(split(stream, cuts)) == slowly_parsed(stream)


@given(streams())
@settings(STABLE, max_examples=100)
def test_a_stream_that_comes_byte_by_byte_means_the_same(stream: bytes) -> None:
    assert parsed(bytes([byte]) for byte in stream) == slowly_parsed(stream)


@given(ENDS, st.lists(st.integers(0, 2_000_100), max_size=6))
@settings(STABLE, max_examples=6)
def test_lines_of_a_megabyte_arrive_whole(end: bytes, cuts: list[int]) -> None:
    stream = b"data: " + MEGABYTE + end + b"data:" + MEGABYTE + end + end + b"data: next"

    assert parsed(split(stream, cuts)) == [ServerEvent("", MEGABYTE + b"\n" + MEGABYTE), ServerEvent("", b"next")]


@pytest.mark.parametrize(("wire", "name"), STREAMS, ids=[name for _, name in STREAMS])
def test_any_split_of_a_recorded_answer_says_the_same(wire: str, name: str) -> None:
    stream = fixture(name)
    whole = told(WIRES[wire].reader(), iter([stream]))

    @given(st.lists(st.integers(0, len(stream)), min_size=1, max_size=8))
    @settings(STABLE, max_examples=12)
    def holds(cuts: list[int]) -> None:
        assert told(WIRES[wire].reader(), split(stream, cuts)) == whole

    holds()


@pytest.mark.parametrize(("wire", "name"), STREAMS, ids=[name for _, name in STREAMS])
def test_data_after_the_end_of_a_recorded_answer_adds_nothing(wire: str, name: str) -> None:
    whole = told(WIRES[wire].reader(), iter([fixture(name)]))
    if isinstance(whole, tuple):
        return  # it has no end

    assert told(WIRES[wire].reader(), iter([fixture(name) + b"\n\n", b"data: {}\n\n", b"\xff"])) == whole


def _claude(fragment: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": fragment}}


def _responses(fragment: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": fragment}


SAID: dict[str, tuple[list[Any], Callable[[str], dict[str, Any]], list[Any]]] = {
    "chat_completions": (
        [],
        lambda fragment: {"choices": [{"delta": {"content": fragment}}]},
        [{"choices": [{"delta": {}, "finish_reason": "stop"}]}],
    ),
    "claude": (
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}],
        _claude,
        [{"type": "message_stop"}],
    ),
    "gemini": (
        [],
        lambda fragment: {"candidates": [{"content": {"parts": [{"text": fragment}]}}]},
        [{"candidates": [{"finishReason": "STOP"}]}],
    ),
    "responses": (
        [{"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}}],
        _responses,
        [{"type": "response.completed", "response": {"status": "completed", "output": []}}],
    ),
}
"""How each wire begins a text, goes on with it, and ends."""


@pytest.mark.parametrize("wire", SAID)
@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "plain"])
def test_a_sign_split_between_fragments_and_bytes_stays_one(wire: str, escaped: bool) -> None:
    begin, go_on, end = SAID[wire]

    @given(
        st.text("a é😀\u2028\N{GREEK SMALL LETTER BETA}", min_size=1, max_size=8),
        st.lists(st.integers(0, 3000), max_size=6),
    )
    @settings(STABLE, max_examples=30)
    def holds(text: str, cuts: list[int]) -> None:
        units = text.encode("utf-16-le")
        halves = (units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2))
        payloads = [*begin, *map(go_on, halves if escaped else text), *end]
        stream = b"".join(b"data: " + json.dumps(each, ensure_ascii=escaped).encode() + b"\n\n" for each in payloads)
        reader = WIRES[wire].reader()

        events = [event for piece in split(stream, cuts) for event in reader.feed(piece)] + reader.end()

        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
        assert [getattr(event.part, "text", "") for event in events if isinstance(event, PartCompleted)] == [text]

    holds()
