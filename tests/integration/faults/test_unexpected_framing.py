"""Errors and responses that are framed otherwise than their content type or the request says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.faults.fault_catalog import READ_SECONDS, responds, sends
from tests.integration.faults.gateway import FALLBACK, SINGLE_ATTEMPT, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Delay, Request, Responder, Upstream
from tests.integration.faults.wires import TEXT, chunk, stream_events, stream_headers
from tests.support.http_servers.raw import SocketFault, http_response


def error_as_event_stream(status: int, *, framed: bool, wire: str) -> Responder:
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down, please."}}
    body = json.dumps(error).encode()
    if framed:
        body = b"event: error\ndata: " + body + b"\n\n"
    return sends(http_response(body, f"{status} Status", content_type="text/event-stream"))


@scenario(20)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic", "responses"])
@pytest.mark.parametrize("framed", [False, True], ids=["JSON", "SSE"])
@pytest.mark.parametrize("status", [200, 429, 500])
def test_an_error_under_the_content_type_of_a_stream_keeps_its_words(
    status: int, framed: bool, wire: str, is_streamed: bool
) -> None:
    first, second = Upstream(error_as_event_stream(status, framed=framed, wire=wire), wire=wire), Upstream(responds())

    with gateway(first, second, retry=SINGLE_ATTEMPT) as server:
        failure = server.fail(is_streamed)
        response = server.respond(is_streamed, fallback_models=FALLBACK)

    assert failure.reason == ("PROVIDER_ERROR" if status == 500 else "PROVIDER_RATE_LIMITED")
    assert failure.error.details().endswith(": Slow down, please.")
    assert text_of(response) == TEXT


@scenario(20)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_a_stream_that_was_not_requested_is_read(wire: str) -> None:
    def respond(request: Request) -> Any:
        return (stream_headers(), *map(chunk, stream_events(request).all()), chunk(b""))

    with gateway(Upstream(respond, wire=wire)) as server:
        assert text_of(server.generate()) == TEXT


def test_an_error_that_is_cut_off_under_the_content_type_of_a_stream_is_a_protocol_error() -> None:
    first = Upstream(sends(stream_headers(), chunk(b'{"error":'), Delay(READ_SECONDS), SocketFault.CLOSE))

    with gateway(first, retry=SINGLE_ATTEMPT) as server:
        failure = server.stream_failure()

    assert failure.reason == "PROVIDER_PROTOCOL"
