"""Malformed responses and streams of the Messages API."""

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
    ProviderPermissionDenied,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderTimeout,
)
from aimanager_server.providers.wires.anthropic.response_parser import AnthropicParser
from tests.support.anthropic import anthropic_wire, message_start, read_stream
from tests.support.wire_cases import completed_parts, sse


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        ("overloaded_error", ProviderOverloaded),
        ("rate_limit_error", ProviderRateLimited),
        ("api_error", ProviderInternalError),
        ("timeout_error", ProviderTimeout),
        ("authentication_error", ProviderCredentialsInvalid),
        ("permission_error", ProviderPermissionDenied),
        ("billing_error", ProviderQuotaExhausted),
        ("not_found_error", ModelNotFound),
        ("brand_new_error", ProviderInternalError),
    ],
)
def test_error_inside_a_success_is_raised(kind: str, error_type: type[GatewayError]) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "No."}}

    with pytest.raises(error_type):
        read_stream(sse(message_start(input_tokens=1), error))
    with pytest.raises(error_type):
        anthropic_wire().decode(json.dumps(error).encode())


def test_context_error_inside_a_stream_is_raised() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 3 > 2"}}

    with pytest.raises(ContextTooLong):
        read_stream(sse(error))


def test_error_event_without_a_type_is_raised() -> None:
    with pytest.raises(ProviderOverloaded):
        read_stream(b'event: error\ndata: {"error": {"type": "overloaded_error", "message": "x"}}\n\n')


@pytest.mark.parametrize("data", ["{broken", "[1]", "[" * 5000])
def test_unreadable_event_is_a_protocol_error(data: str) -> None:
    with pytest.raises(ProviderProtocolError):
        read_stream(sse(message_start(), data))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>gateway</html>", b"[]", b"{}", b'{"content": "text"}', b'{"type": "message"}', b"[" * 5000],
)
def test_unreadable_body_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        anthropic_wire().decode(body)


def test_unknown_blocks_are_ignored() -> None:
    events = anthropic_wire().decode(b'{"content": ["text", {"type": 5}, {"type": "text", "text": "Hi"}]}')

    assert completed_parts(events) == (Text("Hi"),)


def test_lone_surrogate_is_replaced() -> None:
    events = anthropic_wire().decode(b'{"content": [{"type": "text", "text": "a\\ud83d"}]}')

    assert completed_parts(events) == (Text("a\N{REPLACEMENT CHARACTER}"),)


def test_event_above_the_size_limit_is_a_protocol_error() -> None:
    reader = anthropic_wire().stream_reader()

    with pytest.raises(ProviderProtocolError, match="exceeds the limit"):
        reader.feed(b"data: " + b"x" * (9 * 1024 * 1024))


def test_closing_an_unknown_block_does_nothing() -> None:
    parser = AnthropicParser()

    parser.close_block(3)

    assert parser.drain() == []
