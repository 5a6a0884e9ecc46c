"""Responses that are no answer, or far too much of one."""

from __future__ import annotations

import pytest

from tests.integration.faults.fault_catalog import does, floods, says, streams
from tests.integration.faults.gateway import attempts_of, gateway, previewed, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Act, Answer, Flood, Pause, Upstream
from tests.integration.faults.wires import TEXT, chat_event, chunk, http

MIB = 1024 * 1024
IN_SOCKETS = 20 * MIB
"""What the buffers of two sockets may hold beyond what was read."""

HTML = b"<!doctype html><title>Sorry</title>"
RESPONSES: dict[str, Answer] = {
    "a page": does(http(HTML, content_type="text/html")),
    "a page that claims to be JSON": does(http(HTML)),
    "nothing": does(http(b"")),
    "no content": does(http(b"", "204 No Content")),
    "plain text": does(http(b"ok", content_type="text/plain")),
    "gzip that is none": does(http(b"\x1f\x8b garbage", "200 OK", "application/json", "Content-Encoding: gzip")),
    "an empty stream": streams(lambda whole: (b"",)),
    "slow, and then no header": does(b"HTTP/1.1 200 ", Pause(0.05), b"OK\r\n", Act.CLOSE),
    "headers without end": does(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 100_000 + b"\r\n\r\n", Act.CLOSE),
    "bad chunks": does(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Act.CLOSE),
}


@scenario(20)
@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
@pytest.mark.parametrize("is_streamed", [False, True])
def test_what_is_no_answer_is_asked_for_again(response: Answer, is_streamed: bool) -> None:
    first = Upstream(response, says())

    with gateway(first) as server:
        said = server.stream()[-1].completed if is_streamed else server.answer()

    assert text_of(said) == TEXT
    assert attempts_of(said.route) == [("first", "PROVIDER_PROTOCOL"), ("first", "")]


@scenario(20)
@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
def test_what_is_never_an_answer_is_told_by_its_kind(response: Answer) -> None:
    first = Upstream(response)

    with gateway(first) as server:
        failure = server.refused()

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_PROTOCOL")
    assert failure.attempts == [("first", "PROVIDER_PROTOCOL")] * 3


@scenario(21)
def test_a_huge_answer_is_given_up_long_before_its_end() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (100 * MIB)
    first = Upstream(does(head, Flood(b" " * MIB, 100)))

    with gateway(first, limits={"response_bytes": MIB}, retry={"attempts": 1}) as server:
        failure = server.refused()

    assert failure.reason == "PROVIDER_PROTOCOL"
    assert first.links[0].sent < IN_SOCKETS


@scenario(21)
def test_a_stream_without_end_is_ended() -> None:
    first = Upstream(floods(chat_event({"content": "on and on and on and on "})))

    with gateway(first, limits={"response_bytes": MIB}) as server:
        failure = server.interrupted()

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert first.links[0].sent < IN_SOCKETS
    assert first.links[0].left_at is not None


@scenario(21)
def test_a_line_without_end_is_ended() -> None:
    first = Upstream(floods(b"x" * 65_536))

    with gateway(first, limits={"line_bytes": MIB}, retry={"attempts": 1}) as server:
        failure = server.interrupted()

    assert failure.reason in ("PROVIDER_PROTOCOL", "STREAM_INTERRUPTED")
    assert first.links[0].sent < IN_SOCKETS


@scenario(21)
def test_an_answer_in_crumbs_is_read() -> None:
    crumbs = Flood(chunk(b"."), 50_000)
    first = Upstream(streams(lambda whole: (b": ", crumbs, b"\n\n", *whole.whole(), b"")))

    with gateway(first, patience={"first_token_seconds": 30.0}) as server:
        assert previewed(server.stream()) == TEXT
