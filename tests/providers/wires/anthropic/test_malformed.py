from __future__ import annotations

import json

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import (
    ContextTooLong,
    GatewayError,
    ModelNotFound,
    ProviderCredentialsInvalid,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderTimeout,
)
from aimanager_server.providers.wires.anthropic.response_parser import Answer
from tests.support.anthropic import claude, completed, sse, start, streamed


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("overloaded_error", ProviderOverloaded),
        ("rate_limit_error", ProviderRateLimited),
        ("api_error", ProviderInternalError),
        ("timeout_error", ProviderTimeout),
        ("authentication_error", ProviderCredentialsInvalid),
        ("permission_error", ProviderCredentialsInvalid),
        ("billing_error", ProviderQuotaExhausted),
        ("not_found_error", ModelNotFound),
        ("brand_new_error", ProviderInternalError),
    ],
)
def test_an_error_inside_a_success_is_that_error(kind: str, fault: type[GatewayError]) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "No."}}

    with pytest.raises(fault):
        streamed(sse(start(input_tokens=1), error))
    with pytest.raises(fault):
        claude().decode(json.dumps(error).encode())


def test_a_prompt_too_long_inside_a_stream_is_known() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 3 > 2"}}

    with pytest.raises(ContextTooLong):
        streamed(sse(error))


def test_an_error_by_event_name_alone_is_known() -> None:
    with pytest.raises(ProviderOverloaded):
        streamed(b'event: error\ndata: {"error": {"type": "overloaded_error", "message": "x"}}\n\n')


@pytest.mark.parametrize("data", ["{broken", "[1]", "[" * 5000])
def test_an_event_that_cannot_be_read_is_a_broken_protocol(data: str) -> None:
    with pytest.raises(ProviderProtocolError):
        streamed(sse(start(), data))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>gateway</html>", b"[]", b"{}", b'{"content": "text"}', b'{"type": "message"}', b"[" * 5000],
)
def test_a_body_that_is_no_answer_is_a_broken_protocol(body: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        claude().decode(body)


def test_blocks_of_another_shape_are_passed_over() -> None:
    events = claude().decode(b'{"content": ["text", {"type": 5}, {"type": "text", "text": "Hi"}]}')

    assert completed(events) == [Text("Hi")]


def test_half_a_surrogate_pair_does_not_lose_the_answer() -> None:
    events = claude().decode(b'{"content": [{"type": "text", "text": "a\\ud83d"}]}')

    assert completed(events) == [Text("a\N{REPLACEMENT CHARACTER}")]


def test_an_event_beyond_the_limit_is_a_broken_protocol() -> None:
    reader = claude().reader()

    with pytest.raises(ProviderProtocolError, match="longer"):
        reader.feed(b"data: " + b"x" * (9 * 1024 * 1024))


def test_closing_a_block_that_is_not_open_does_nothing() -> None:
    answer = Answer()

    answer.close(3)

    assert answer.drain() == []
