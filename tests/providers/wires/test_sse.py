"""The event stream, whatever way the network splits it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.providers.wires.sse import EventStream, ServerEvent

CASES = {
    "line feeds": (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
    "carriage returns": (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
    "both": (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
    "mixed": (b"data: one\r\n\ndata: two\n\r\n", [b"one", b"two"]),
    "byte order mark": (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
    "comments": (b": keep-alive\n\n: again\ndata: one\n\n:\n\n", [b"one"]),
    "several data lines": (b"data: {\ndata:  1\ndata: }\n\n", [b"{\n 1\n}"]),
    "no space": (b"data:{}\n\n", [b"{}"]),
    "one space alone is dropped": (b"data:  x\n\n", [b" x"]),
    "other fields": (b"id: 7\nretry: 10\nfoo: bar\ndata: one\n\n", [b"one"]),
    "no colon": (b"data\n\n", [b""]),
    "blank lines before": (b"\n\n\n\ndata: one\n\n", [b"one"]),
    "separators that are none": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\n\n".encode(),
        ["a\u2028b\u2029c\u0085d\x0be\x0cf".encode()],
    ),
    "no last blank line": (b"data: one\n\ndata: [DONE]\n", [b"one", b"[DONE]"]),
    "no last line end": (b"data: one\n\ndata: [DONE]", [b"one", b"[DONE]"]),
    "an event without data": (b"event: ping\n\ndata: one\n\n", [b"one"]),
    "nothing": (b"", []),
}


def read(*pieces: bytes, limit: int = 1000) -> list[ServerEvent]:
    stream = EventStream(limit)
    return [event for piece in pieces for event in stream.feed(piece)] + stream.end()


@pytest.mark.parametrize("case", CASES)
def test_a_stream_is_read_alike_however_it_is_split(case: str) -> None:
    stream, expected = CASES[case]
    splits: list[tuple[bytes, ...]] = [(stream[:at], stream[at:]) for at in range(len(stream) + 1)]
    splits += [tuple(stream[at : at + size] for at in range(0, len(stream), size)) for size in (1, 2, 3)]

    readings = [[event.data for event in read(*pieces)] for pieces in splits]

    assert all(reading == expected for reading in readings)


def test_the_name_of_an_event_belongs_to_it_alone() -> None:
    events = read(b"event: ping\ndata: 1\n\ndata: 2\n\nevent:done\ndata: 3\n\n")

    assert events == [ServerEvent("ping", b"1"), ServerEvent("", b"2"), ServerEvent("done", b"3")]


def test_an_event_is_given_out_with_the_read_that_completes_it() -> None:
    stream = EventStream(1000)

    given = [stream.feed(piece) for piece in (b"data: one", b"\n", b"\ndata: two\n\nda")]

    assert given == [[], [], [ServerEvent("", b"one"), ServerEvent("", b"two")]]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_an_event_longer_than_the_limit_is_refused(size: int) -> None:
    stream = b"data: " + b"x" * 150
    pieces = [stream[start:stop] for start, stop in pairwise([*range(0, len(stream), size), len(stream)])]

    with pytest.raises(ProviderProtocolError, match="100 bytes"):
        read(*pieces, limit=100)


def test_a_long_event_of_many_lines_is_refused_too() -> None:
    with pytest.raises(ProviderProtocolError, match="100 bytes"):
        read(b"data: xxxxxxxx\n" * 20 + b"\n", limit=100)


def test_a_long_stream_of_short_events_is_fine() -> None:
    assert len(read(*[b"data: xxxxxxxx\n\n"] * 100, limit=20)) == 100


def test_a_line_of_a_megabyte_in_tiny_reads_is_read_in_linear_time() -> None:
    stream = EventStream(2_000_000)
    for _ in range(250_000):
        stream.feed(b"xxxx")

    assert stream.feed(b"\n\n") == []
