"""A stream of the Responses wire means the same however the network splits it, and nothing when it was cut."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from tests.support.responses import ANSWERS, completed, responses, stream_of, streamed


def joined(events: list[Event]) -> list[tuple[type, int, str]]:
    """The deltas, neighbours of one part joined."""
    found: list[tuple[type, int, str]] = []
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            text = event.arguments_json if isinstance(event, ToolCallDelta) else event.text
            if found and found[-1][:2] == (type(event), event.index):
                found[-1] = (*found[-1][:2], found[-1][2] + text)
            else:
                found.append((type(event), event.index, text))
    return found


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_split_at_any_byte_says_the_same(name: str) -> None:
    stream = stream_of(name)
    whole = streamed(stream)

    for at in range(len(stream) + 1):
        events = streamed(stream[:at], stream[at:])

        assert (completed(events), events[-1]) == (completed(whole), whole[-1])
        assert joined(events) == joined(whole)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_that_comes_byte_by_byte_says_the_same(name: str) -> None:
    stream = stream_of(name)

    events = streamed(*(bytes([byte]) for byte in stream))

    whole = streamed(stream)
    assert (completed(events), events[-1], joined(events)) == (completed(whole), whole[-1], joined(whole))


@pytest.mark.parametrize("ends", [b"\r\n", b"\r"])
@pytest.mark.parametrize("name", ["text", "parallel_tools"])
def test_lines_may_end_otherwise(name: str, ends: bytes) -> None:
    assert streamed(stream_of(name).replace(b"\n", ends)) == streamed(stream_of(name))


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_cut_before_its_terminal_event_is_never_an_answer(name: str) -> None:
    stream = stream_of(name)
    last = stream.rstrip().rfind(b"\n\n")

    for at in (*range(0, last, 7), last, last + 2, len(stream) - 3):
        reader = responses().reader()
        events = reader.feed(stream[:at])

        with pytest.raises(ProviderProtocolError, match="cut"):
            reader.end()
        assert not any(isinstance(event, Finished) for event in events)


def test_the_last_blank_line_may_be_missing() -> None:
    assert streamed(stream_of("text").rstrip()) == streamed(stream_of("text"))


@pytest.mark.parametrize("more", [b"data: [DONE]\n\n", b"data: {broken\n\n", b"event: error\ndata: {}\n\n", b"\xff"])
def test_what_comes_after_the_end_is_ignored(more: bytes) -> None:
    reader = responses().reader()
    events = reader.feed(stream_of("text") + more)

    assert isinstance(events[-1], Finished)
    assert (reader.feed(more), reader.end()) == ([], [])
