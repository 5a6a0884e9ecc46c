"""Server-sent events are decoded alike however the network splits them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.providers.wires.sse import ServerSentEvent, SseDecoder

CASES = {
    "line feeds": (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
    "carriage returns": (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
    "both": (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
    "mixed": (b"data: one\r\n\ndata: two\n\r\n", [b"one", b"two"]),
    "byte order mark": (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
    "comments": (b": keep-alive\n\n: again\ndata: one\n\n:\n\n", [b"one"]),
    "several data lines": (b"data: {\ndata:  1\ndata: }\n\n", [b"{\n 1\n}"]),
    "no space": (b"data:{}\n\n", [b"{}"]),
    "only one space is dropped": (b"data:  x\n\n", [b" x"]),
    "other fields": (b"id: 7\nretry: 10\nfoo: bar\ndata: one\n\n", [b"one"]),
    "no colon": (b"data\n\n", [b""]),
    "leading blank lines": (b"\n\n\n\ndata: one\n\n", [b"one"]),
    "other line separators": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\n\n".encode(),
        ["a\u2028b\u2029c\u0085d\x0be\x0cf".encode()],
    ),
    "missing last blank line": (b"data: one\n\ndata: [DONE]\n", [b"one", b"[DONE]"]),
    "missing last line end": (b"data: one\n\ndata: [DONE]", [b"one", b"[DONE]"]),
    "event without data": (b"event: ping\n\ndata: one\n\n", [b"one"]),
    "empty": (b"", []),
}


def decode(*pieces: bytes, limit: int = 1000) -> list[ServerSentEvent]:
    decoder = SseDecoder(limit)
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


def splits(stream: bytes) -> list[tuple[bytes, ...]]:
    """Return every split into two pieces, and the splits into pieces of one, two and three bytes."""
    found: list[tuple[bytes, ...]] = [(stream[:at], stream[at:]) for at in range(len(stream) + 1)]
    return found + [tuple(stream[at : at + size] for at in range(0, len(stream), size)) for size in (1, 2, 3)]


def test_events_are_decoded_alike_however_they_are_split() -> None:
    decoded = {
        case: {tuple(event.data for event in decode(*pieces)) for pieces in splits(stream)}
        for case, (stream, _) in CASES.items()
    }

    assert decoded == {case: {tuple(expected)} for case, (_, expected) in CASES.items()}


def test_event_name_applies_to_one_event() -> None:
    events = decode(b"event: ping\ndata: 1\n\ndata: 2\n\nevent:done\ndata: 3\n\n")

    assert events == [ServerSentEvent("ping", b"1"), ServerSentEvent("", b"2"), ServerSentEvent("done", b"3")]


def test_event_is_returned_by_the_read_that_completes_it() -> None:
    decoder = SseDecoder(1000)

    received = [decoder.feed(piece) for piece in (b"data: one", b"\n", b"\ndata: two\n\nda")]

    assert received == [[], [], [ServerSentEvent("", b"one"), ServerSentEvent("", b"two")]]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_event_above_the_limit_is_rejected(size: int) -> None:
    stream = b"data: " + b"x" * 150
    pieces = [stream[start:stop] for start, stop in pairwise([*range(0, len(stream), size), len(stream)])]

    with pytest.raises(ProviderProtocolError, match="100 bytes"):
        decode(*pieces, limit=100)


def test_long_event_of_many_lines_is_rejected() -> None:
    with pytest.raises(ProviderProtocolError, match="100 bytes"):
        decode(b"data: xxxxxxxx\n" * 20 + b"\n", limit=100)


def test_long_stream_of_short_events_is_accepted() -> None:
    assert len(decode(*[b"data: xxxxxxxx\n\n"] * 100, limit=20)) == 100


def test_long_line_in_tiny_reads_is_decoded_in_linear_time() -> None:
    decoder = SseDecoder(2_000_000)
    for _ in range(250_000):
        decoder.feed(b"xxxx")

    assert decoder.feed(b"\n\n") == []
