"""Responses with status 200 that are invalid or far too large."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence

import pytest

from aimanager.v1 import generation_pb2
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
from tests.integration.faults.upstream import Delay, Flood, Request, Responder, Step, Upstream
from tests.integration.faults.wires import DONE, TEXT, chat_event, chunk, sse_event, stream_events, unary_body
from tests.support.http_servers.raw import SocketFault, http_response

MIB = 1024 * 1024
TOOL = generation_pb2.Tool(name="look", description="Looks.")
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


def tool_call(number: int) -> dict[str, object]:
    return {"index": number, "id": f"call_{number}", "function": {"name": "look", "arguments": "{}"}}


STOP, CALLED = chat_event({}, "stop"), chat_event({}, "tool_calls")
TOO_MANY_PARTS: dict[str, Responder] = {
    "tool calls": streams(
        lambda _: (b"".join(chat_event({"tool_calls": [tool_call(n)]}) for n in range(16_000)), CALLED, DONE, b"")
    ),
    "tool calls in one event": streams(
        lambda _: (chat_event({"tool_calls": [tool_call(n) for n in range(16_000)]}), CALLED, DONE, b"")
    ),
    "alternations of reasoning and text": streams(
        lambda _: ((chat_event({"reasoning_content": "hm"}) + chat_event({"content": "ok"})) * 20_000, STOP, DONE, b"")
    ),
}


@scenario(21)
def test_a_response_of_many_parts_fails_before_it_costs_time() -> None:
    upstreams = [Upstream(responder) for responder in TOO_MANY_PARTS.values()]

    with gateway(*upstreams, retry=SINGLE_ATTEMPT) as server:
        started_at = time.process_time()
        failures = [server.stream_failure(upstream.model, tools=[TOOL]) for upstream in upstreams]
        seconds = time.process_time() - started_at

    for name, failure in zip(TOO_MANY_PARTS, failures, strict=True):
        assert failure.reason in ("PROVIDER_PROTOCOL", "STREAM_INTERRUPTED"), name
        assert "limit of 1000 parts" in failure.rpc_failure.message, name
    assert seconds < 8.0


@scenario(21)
def test_as_many_parts_as_permitted_are_read() -> None:
    calls = [tool_call(number) for number in range(1000)]
    first = Upstream(streams(lambda _: (*(chat_event({"tool_calls": [each]}) for each in calls), CALLED, DONE, b"")))

    with gateway(first) as server:
        response = server.stream(tools=[TOOL], extract_artifacts=True)[-1].completed

    assert [part.tool_call.id for part in response.message.parts] == [call["id"] for call in calls]


@scenario(21)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_endless_flood_of_1xx_responses_fails_at_once(is_streamed: bool) -> None:
    heads = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    upstreams = [Upstream(sends(Flood(head * times))) for head in heads for times in (1, 10_000)]

    with gateway(*upstreams, retry=SINGLE_ATTEMPT) as server:
        failures = [server.fail(is_streamed, upstream.model) for upstream in upstreams]

    for upstream, failure in zip(upstreams, failures, strict=True):
        assert failure.reason == "PROVIDER_PROTOCOL"
        assert "headers" in failure.rpc_failure.message
        assert upstream.connections[0].bytes_sent < SOCKET_BUFFERS


@scenario(8, 21)
def test_a_content_length_one_too_long_is_a_cut() -> None:
    def announces_too_much(request: Request) -> Sequence[Step]:
        is_streaming = request.is_streaming
        content = b"".join(stream_events(request).words) if is_streaming else unary_body(request)
        kind = b"text/event-stream" if is_streaming else b"application/json"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(content) + 1)
        return (head + content, Delay(0.1), SocketFault.CLOSE)

    with gateway(Upstream(announces_too_much), retry=SINGLE_ATTEMPT) as server:
        unary, streamed = server.generate_failure(), server.stream_failure()

    assert (unary.reason, streamed.reason) == ("PROVIDER_PROTOCOL", "STREAM_INTERRUPTED")
    for failure in (unary, streamed):
        assert re.search(r"the connection closed after \d+ of \d+ bytes", failure.rpc_failure.message)


@scenario(5, 20)
def test_a_json_error_under_text_event_stream_keeps_its_words() -> None:
    body = json.dumps({"error": {"type": "rate_limit_error", "message": "Slow down, please."}}).encode()
    first = Upstream(sends(http_response(body, content_type="text/event-stream")))

    with gateway(first, retry=SINGLE_ATTEMPT) as server:
        failure = server.stream_failure()

    assert failure.reason == "PROVIDER_RATE_LIMITED"
    assert "Slow down, please." in failure.rpc_failure.message


@scenario(21)
def test_megabytes_in_a_finish_reason_or_an_error_are_cut_first() -> None:
    reason = streams(lambda _: (chat_event({"content": "Hi"}, "sk-a" * 1_250_000), DONE, b""))
    error = streams(lambda _: (sse_event({"error": {"message": "sk-a" * 1_250_000, "type": "x" * MIB}}), b""))
    first, second = Upstream(reason), Upstream(error)

    with gateway(first, second, retry=SINGLE_ATTEMPT) as server:
        response = server.stream()[-1].completed
        failure = server.stream_failure(second.model)

    assert len(response.provider_finish_reason) <= 200
    assert len(failure.rpc_failure.message) < 10_000
