"""Errors of the Messages API."""

from __future__ import annotations

import json

import pytest

from aimanager_server.core.errors import (
    ContentBlocked,
    ContextTooLong,
    GatewayError,
    ModelNotFound,
    PayloadTooLarge,
    ProviderCredentialsInvalid,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderPermissionDenied,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from tests.support.anthropic import anthropic_wire

HTML_PAGE = b"<!DOCTYPE html><html><body><h1>Request too large</h1></body></html>"


def body(kind: str, message: str = "No.") -> bytes:
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return json.dumps(error).encode()


@pytest.mark.parametrize(
    ("status", "kind", "error_type"),
    [
        (400, "invalid_request_error", ProviderRejectedRequest),
        (401, "authentication_error", ProviderCredentialsInvalid),
        (402, "billing_error", ProviderQuotaExhausted),
        (403, "permission_error", ProviderPermissionDenied),
        (404, "not_found_error", ModelNotFound),
        (408, "timeout_error", ProviderTimeout),
        (409, "conflict_error", ProviderInternalError),
        (413, "request_too_large", PayloadTooLarge),
        (422, "invalid_request_error", ProviderRejectedRequest),
        (500, "api_error", ProviderInternalError),
        (502, "api_error", ProviderInternalError),
        (503, "api_error", ProviderOverloaded),
        (504, "timeout_error", ProviderTimeout),
        (529, "overloaded_error", ProviderOverloaded),
    ],
)
def test_status_determines_the_error(status: int, kind: str, error_type: type[GatewayError]) -> None:
    error = anthropic_wire().error(status, {}, body(kind))

    assert type(error) is error_type
    assert error.upstream_status == status


@pytest.mark.parametrize(
    ("status", "error_type"),
    [(413, PayloadTooLarge), (500, ProviderInternalError), (502, ProviderInternalError), (529, ProviderOverloaded)],
)
@pytest.mark.parametrize("content", [HTML_PAGE, b""])
def test_html_or_empty_body_falls_back_to_the_status(
    status: int, error_type: type[GatewayError], content: bytes
) -> None:
    error = anthropic_wire().error(status, {"content-type": "text/html"}, content)

    assert type(error) is error_type
    assert "<" not in error.message


@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        ("prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", ContextTooLong),
        (
            "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
            ProviderQuotaExhausted,
        ),
        ("Your credit balance is too low to access the Anthropic API.", ProviderQuotaExhausted),
        ("This request would exceed the spend limit of your workspace.", ProviderQuotaExhausted),
        ("Output blocked by content filtering policy", ContentBlocked),
        ("messages.0: all messages must have non-empty content", ProviderRejectedRequest),
    ],
)
def test_message_of_a_400_determines_the_error(message: str, error_type: type[GatewayError]) -> None:
    error = anthropic_wire().error(400, {}, body("invalid_request_error", message))

    assert type(error) is error_type
    assert message in error.message


def test_message_of_other_statuses_is_ignored() -> None:
    error = anthropic_wire().error(500, {}, body("api_error", "prompt is too long"))

    assert type(error) is ProviderInternalError


def test_429_with_retry_after_is_a_rate_limit() -> None:
    error = anthropic_wire().error(429, {"retry-after": "7"}, body("rate_limit_error"))

    assert type(error) is ProviderRateLimited
    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        ("No.", ProviderRateLimited),  # litellm sends just that
        ("This request would exceed your organization's rate limit of 50 requests per minute.", ProviderRateLimited),
        ("You have reached your monthly spend limit.", ProviderQuotaExhausted),
        ("You have reached your specified API usage limits.", ProviderQuotaExhausted),
        ("Your credit balance is too low.", ProviderQuotaExhausted),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"retry-after": "7"}, {"x-should-retry": "true"}])
def test_only_words_of_a_spend_cap_make_a_429_one(
    message: str, error_type: type[GatewayError], headers: dict[str, str]
) -> None:
    error = anthropic_wire().error(429, headers, body("rate_limit_error", message))

    assert (type(error), error.upstream_status) == (error_type, 429)
    assert message in error.message


def test_api_key_in_an_error_message_is_redacted() -> None:
    error = anthropic_wire().error(401, {}, body("authentication_error", "invalid x-api-key sk-ant-api03-abcdefgh"))

    assert "abcdefgh" not in error.message
