"""Rules that every wire's stream reader follows."""

from __future__ import annotations

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import ProviderProtocolError, ProviderRateLimited
from tests.support.chat_completions import response_body
from tests.support.recordings import WIRES
from tests.support.wire_cases import completed_parts

RATE_LIMIT = b'{"error": {"type": "rate_limit_error", "code": 429, "message": "Slow down, please."}}'
WIRE_NAMES = ("chat_completions", "anthropic", "gemini", "responses")


@pytest.mark.parametrize("wire", WIRE_NAMES)
@pytest.mark.parametrize("body", [RATE_LIMIT, b"\xef\xbb\xbf\n " + RATE_LIMIT])
def test_an_error_body_in_place_of_events_keeps_its_words(wire: str, body: bytes) -> None:
    reader = WIRES[wire].stream_reader()

    assert [*reader.feed(body[:1]), *reader.feed(body[1:9]), *reader.feed(body[9:])] == []
    with pytest.raises((ProviderRateLimited, ProviderProtocolError), match="Slow down, please"):
        reader.end()


@pytest.mark.parametrize("wire", WIRE_NAMES)
def test_a_json_body_cut_short_is_an_error(wire: str) -> None:
    reader = WIRES[wire].stream_reader()
    reader.feed(RATE_LIMIT[:-9])

    with pytest.raises(ProviderProtocolError, match="not JSON"):
        reader.end()


def test_a_whole_response_in_place_of_events_is_read() -> None:
    reader = WIRES["chat_completions"].stream_reader()
    body = response_body({"content": "Hi"})

    events = [*reader.feed(body[:20]), *reader.feed(body[20:]), *reader.end()]

    assert completed_parts(events) == (Text("Hi"),)
    assert reader.feed(b"data: {}\n\n") == reader.end() == []


def test_a_json_body_in_place_of_events_is_bounded() -> None:
    reader = WIRES["chat_completions"].stream_reader()

    with pytest.raises(ProviderProtocolError, match="exceeds the limit"):
        [reader.feed(b"{" + b" " * 1_000_000) for _ in range(100)]
