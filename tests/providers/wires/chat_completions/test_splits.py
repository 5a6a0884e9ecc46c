"""A stream means the same however the network splits it, and nothing when it was cut."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, TextDelta
from tests.support.chat_completions import dialect, fixture, parts_of, read_all
from tests.support.chat_completions_answers import STREAMED


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_split_at_any_byte_says_the_same(name: str) -> None:
    stream = fixture(f"{name}.sse")
    whole = read_all(stream)

    for at in range(len(stream) + 1):
        reader = dialect().reader()
        events = [*reader.feed(stream[:at]), *reader.feed(stream[at:]), *reader.end()]

        assert (parts_of(events), events[-1]) == (parts_of(whole), whole[-1])
        assert text_of(events) == text_of(whole)


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_that_comes_byte_by_byte_says_the_same(name: str) -> None:
    stream = fixture(f"{name}.sse")
    reader = dialect().reader()

    events = [event for byte in stream for event in reader.feed(bytes([byte]))] + reader.end()

    whole = read_all(stream)
    assert (parts_of(events), events[-1]) == (parts_of(whole), whole[-1])


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_cut_before_its_finish_reason_is_never_an_answer(name: str) -> None:
    stream = fixture(f"{name}.sse")
    ends = [at for at in (stream.find(b'"finish_reason":"'), stream.find(b"[DONE]")) if at > 0]

    for at in range(0, min(ends), 7):
        reader = dialect().reader()
        reader.feed(stream[:at])
        with pytest.raises(ProviderProtocolError, match="cut"):
            reader.end()
