"""Every recorded stream is read alike however it is split, and is never complete without its completion event."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aimanager_server.core.errors import GatewayError, ProviderProtocolError
from aimanager_server.core.response import Event, Finished
from tests.support.chat_completions import recorded
from tests.support.recordings import STREAMS, WIRES, outcome

COMPLETION_MARKERS = {
    "anthropic": re.compile(rb"event: message_stop"),
    "gemini": re.compile(rb'"finishReason"'),
    "responses": re.compile(rb"event: response\.(completed|incomplete)"),
}
"""What starts the event that completes a stream, by folder of recordings."""

CHAT_COMPLETIONS_MARKER = re.compile(rb'"finish_reason": ?"|\[DONE\]')


def two_pieces(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Split after, before and around every line end, and inside every line.

    Splits elsewhere differ only for the SSE decoder, whose own tests split at every byte.
    """
    cuts: set[int] = set()
    start = 0
    for line in stream.splitlines(keepends=True):
        end = start + len(line)
        cuts |= {end - 1, end, start + len(line) // 2}
        start = end
    for cut in sorted(cuts):
        yield stream[:cut], stream[cut:]


def completion_offset(wire: str, stream: bytes) -> int:
    """Return where the completion event starts, or the end of a stream without one."""
    marker = COMPLETION_MARKERS.get(wire, CHAT_COMPLETIONS_MARKER).search(stream)
    return marker.start() if marker else len(stream)


def test_streams_split_anywhere_are_read_alike() -> None:
    differing = []
    for wire, name in STREAMS:
        stream = recorded(name)
        expected = outcome(wire, [stream])
        differing += [
            (name, len(first)) for first, *rest in two_pieces(stream) if outcome(wire, [first, *rest]) != expected
        ]

    assert differing == []


def test_streams_that_arrive_byte_by_byte_are_read_alike() -> None:
    streams = [(wire, name, recorded(name)) for wire, name in STREAMS]

    differing = [
        name
        for wire, name, stream in streams
        if outcome(wire, (bytes([byte]) for byte in stream)) != outcome(wire, [stream])
    ]

    assert differing == []


def test_streams_with_other_line_ends_are_read_alike() -> None:
    differing = [
        (name, line_end)
        for wire, name in STREAMS
        for line_end in (b"\r\n", b"\r")
        if outcome(wire, [recorded(name).replace(b"\r\n", b"\n").replace(b"\n", line_end)])
        != outcome(wire, [recorded(name)])
    ]

    assert differing == []


def test_last_blank_line_may_be_missing() -> None:
    differing = [
        name for wire, name in STREAMS if outcome(wire, [recorded(name).rstrip()]) != outcome(wire, [recorded(name)])
    ]

    assert differing == []


def test_data_after_the_completion_event_is_ignored() -> None:
    suffix = (
        b"\n\n",
        b"data: {}\n\n",
        b"data: [DONE]\n\n",
        b"data: {broken\n\n",
        b"event: error\ndata: {}\n\n",
        b"\xff",
    )

    differing = [
        name
        for wire, name in STREAMS
        if isinstance(expected := outcome(wire, [recorded(name)]), list)
        and outcome(wire, [recorded(name), *suffix, b"\xff"]) != expected
    ]

    assert differing == []


def test_truncated_streams_never_complete() -> None:
    completed = []
    for wire, name in STREAMS:
        stream = recorded(name)
        end = completion_offset(wire, stream)
        for first, _ in two_pieces(stream[:end]):
            reader = WIRES[wire].stream_reader()
            events: list[Event] = []
            try:
                events = reader.feed(first)
                reader.end()
                completed.append((name, len(first)))
            except ProviderProtocolError as error:
                if "The stream ended" not in error.message:
                    completed.append((name, len(first)))
            except GatewayError:
                pass  # An error event before the completion event.
            if any(isinstance(event, Finished) for event in events):
                completed.append((name, len(first)))

    assert completed == []
