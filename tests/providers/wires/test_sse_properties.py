"""Streams are read alike however bytes arrive, compared with a slow and simple reference parser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aimanager_server.core.response import PartCompleted, TextDelta
from aimanager_server.providers.wires.sse import BYTE_ORDER_MARK, ServerSentEvent, SseDecoder
from tests.support.chat_completions import recorded
from tests.support.recordings import STREAMS, WIRES, outcome

LIMIT = 8 * 1024 * 1024
MEGABYTE = b"x" * 1_000_000

STABLE = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
"""Run the same examples on every machine, without a time limit."""

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
    """Draw lines with any line ends, the last of which may be missing, with or without a byte order mark."""
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=20))
    stream = b"".join(line + end for line, end in lines) + draw(st.one_of(st.just(b""), LINES))
    return draw(st.sampled_from([b"", BYTE_ORDER_MARK])) + stream


def split(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield the pieces between the cuts, taken modulo the length. Pieces may be empty."""
    offsets = sorted(cut % (len(stream) + 1) for cut in cuts)
    for start, end in zip([0, *offsets], [*offsets, len(stream)], strict=True):
        yield stream[start:end]


def reference_parse(stream: bytes) -> list[ServerSentEvent]:
    """Parse byte by byte as the standard specifies, except that the last event needs no blank line."""
    events: list[ServerSentEvent] = []
    lines: list[bytes] = []
    name, line = b"", bytearray()
    stream = stream.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for byte in stream + b"\n\n":
        if byte != ord("\n"):
            line.append(byte)
            continue
        if not line:
            if lines:
                events.append(ServerSentEvent(name.decode(errors="replace"), b"\n".join(lines)))
            lines, name = [], b""
        field, _, value = bytes(line).partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        if field == b"event":
            name = value.removeprefix(b" ")
        line.clear()
    return events


def decode(pieces: Iterator[bytes]) -> list[ServerSentEvent]:
    decoder = SseDecoder(LIMIT)
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


@given(streams(), st.lists(st.integers(0, 2000), max_size=6))
@settings(STABLE, max_examples=400)
def test_any_stream_is_decoded_as_the_standard_specifies(stream: bytes, cuts: list[int]) -> None:
    assert decode(split(stream, cuts)) == reference_parse(stream)


@given(streams())
@settings(STABLE, max_examples=100)
def test_stream_byte_by_byte_is_decoded_alike(stream: bytes) -> None:
    assert decode(bytes([byte]) for byte in stream) == reference_parse(stream)


@given(ENDS, st.lists(st.integers(0, 2_000_100), max_size=6))
@settings(STABLE, max_examples=6)
def test_long_lines_are_decoded(end: bytes, cuts: list[int]) -> None:
    stream = b"data: " + MEGABYTE + end + b"data:" + MEGABYTE + end + end + b"data: next"

    assert decode(split(stream, cuts)) == [
        ServerSentEvent("", MEGABYTE + b"\n" + MEGABYTE),
        ServerSentEvent("", b"next"),
    ]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 20_000), min_size=1, max_size=8))
@settings(STABLE, max_examples=300)
def test_recorded_streams_are_read_alike_with_any_splits(recording: tuple[str, str], cuts: list[int]) -> None:
    wire, name = recording
    stream = recorded(name)

    assert outcome(wire, split(stream, cuts)) == outcome(wire, [stream])


@dataclass(frozen=True, slots=True)
class TextStream:
    """How a wire starts a text, continues it with a fragment, and completes the response."""

    start: tuple[dict[str, Any], ...]
    fragment: Callable[[str], dict[str, Any]]
    end: tuple[dict[str, Any], ...]


def anthropic_fragment(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def responses_fragment(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}


TEXT_STREAMS = {
    "chat_completions": TextStream(
        (),
        lambda text: {"choices": [{"delta": {"content": text}}]},
        ({"choices": [{"delta": {}, "finish_reason": "stop"}]},),
    ),
    "anthropic": TextStream(
        ({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},),
        anthropic_fragment,
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}),
    ),
    "gemini": TextStream(
        (),
        lambda text: {"candidates": [{"content": {"parts": [{"text": text}]}}]},
        ({"candidates": [{"finishReason": "STOP"}]},),
    ),
    "responses": TextStream(
        ({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}},),
        responses_fragment,
        ({"type": "response.completed", "response": {"status": "completed", "output": []}},),
    ),
}


@given(
    st.sampled_from(sorted(TEXT_STREAMS)),
    st.booleans(),
    st.text("a é😀\u2028\N{GREEK SMALL LETTER BETA}", min_size=1, max_size=8),
    st.lists(st.integers(0, 3000), max_size=6),
)
@settings(STABLE, max_examples=200)
def test_characters_split_across_fragments_and_bytes_are_joined(
    wire: str, escaped: bool, text: str, cuts: list[int]
) -> None:
    units = text.encode("utf-16-le")
    surrogates = [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
    shape, reader = TEXT_STREAMS[wire], WIRES[wire].stream_reader()
    payloads = [*shape.start, *map(shape.fragment, surrogates if escaped else text), *shape.end]
    lines = (json.dumps(payload, ensure_ascii=escaped) for payload in payloads)
    stream = b"".join(b"data: " + line.encode() + b"\n\n" for line in lines)

    events = [event for piece in split(stream, cuts) for event in reader.feed(piece)] + reader.end()

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    assert [getattr(event.part, "text", "") for event in events if isinstance(event, PartCompleted)] == [text]
