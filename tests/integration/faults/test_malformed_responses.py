"""Responses with status 200 that are invalid or far too large."""

from __future__ import annotations

import pytest

from tests.integration.faults.fault_catalog import floods, responds, sends, streams
from tests.integration.faults.gateway import (
    SINGLE_ATTEMPT,
    attempts_of,
    gateway,
    streamed_text,
    text_of,
    wait_until,
)
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Delay, Flood, Responder, Upstream
from tests.integration.faults.wires import TEXT, chat_event, chunk
from tests.support.http_servers.raw import SocketFault, http_response

MIB = 1024 * 1024
SOCKET_BUFFERS = 20 * MIB
"""Upper bound of what the buffers of two sockets hold beyond what was read."""

HTML = b"<!doctype html><title>Sorry</title>"
NOT_GZIP = http_response(b"\x1f\x8b garbage", headers=("Content-Encoding: gzip",))
INVALID: dict[str, Responder] = {
    "HTML": sends(http_response(HTML, content_type="text/html")),
    "HTML declared as JSON": sends(http_response(HTML)),
    "empty body": sends(http_response(b"")),
    "204": sends(http_response(b"", "204 No Content")),
    "plain text": sends(http_response(b"ok", content_type="text/plain")),
    "invalid gzip": sends(NOT_GZIP),
    "empty stream": streams(lambda events: (b"",)),
    "incomplete headers": sends(b"HTTP/1.1 200 ", Delay(0.05), b"OK\r\n", SocketFault.CLOSE),
    "oversized headers": sends(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 100_000 + b"\r\n\r\n", SocketFault.CLOSE),
    "invalid chunks": sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", SocketFault.CLOSE),
}


@scenario(20)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_invalid_response_is_retried(is_streamed: bool) -> None:
    upstreams = [Upstream(response, responds()) for response in INVALID.values()]

    with gateway(*upstreams) as server:
        responses = [server.respond(is_streamed, upstream.model) for upstream in upstreams]

    for name, upstream, response in zip(INVALID, upstreams, responses, strict=True):
        assert text_of(response) == TEXT, name
        assert attempts_of(response.execution) == [(upstream.name, "PROVIDER_PROTOCOL"), (upstream.name, "")], name


@scenario(20)
def test_a_persistently_invalid_response_is_a_protocol_error() -> None:
    upstreams = [Upstream(response) for response in INVALID.values()]

    with gateway(*upstreams) as server:
        failures = [server.generate_failure(upstream.model) for upstream in upstreams]

    for name, upstream, failure in zip(INVALID, upstreams, failures, strict=True):
        assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_PROTOCOL"), name
        assert failure.attempts == [(upstream.name, "PROVIDER_PROTOCOL")] * 3, name


@scenario(21)
def test_reading_stops_at_the_response_size_limit() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (100 * MIB)
    first = Upstream(sends(head, Flood(b" " * MIB, 100)))

    with gateway(first, limits={"max_response_bytes": MIB}, retry=SINGLE_ATTEMPT) as server:
        failure = server.generate_failure()

    assert failure.reason == "PROVIDER_PROTOCOL"
    assert first.connections[0].bytes_sent < SOCKET_BUFFERS


@scenario(21)
def test_an_endless_stream_is_interrupted_at_the_response_size_limit() -> None:
    first = Upstream(floods(chat_event({"content": "on and on and on and on "})))

    with gateway(first, limits={"max_response_bytes": MIB}) as server:
        failure = server.stream_failure()
        wait_until(lambda: first.connections[0].peer_closed_at is not None)

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert first.connections[0].bytes_sent < SOCKET_BUFFERS


@scenario(21)
def test_an_endless_line_fails_at_the_line_size_limit() -> None:
    first = Upstream(floods(b"x" * 65_536))

    with gateway(first, limits={"max_line_bytes": MIB}, retry=SINGLE_ATTEMPT) as server:
        failure = server.stream_failure()

    assert failure.reason in ("PROVIDER_PROTOCOL", "STREAM_INTERRUPTED")
    assert first.connections[0].bytes_sent < SOCKET_BUFFERS


@scenario(21)
def test_a_stream_of_single_byte_chunks_is_read() -> None:
    single_bytes = Flood(chunk(b"."), 20_000)
    first = Upstream(streams(lambda events: (b": ", single_bytes, b"\n\n", *events.all(), b"")))

    with gateway(first) as server:
        events = server.stream()

    assert streamed_text(events) == TEXT
