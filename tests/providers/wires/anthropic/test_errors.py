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
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from tests.support.anthropic import claude

PAGE = b"<!DOCTYPE html><html><body><h1>Request too large</h1></body></html>"


def body(kind: str, message: str = "No.") -> bytes:
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return json.dumps(error).encode()


@pytest.mark.parametrize(
    ("status", "kind", "fault"),
    [
        (400, "invalid_request_error", ProviderRejectedRequest),
        (401, "authentication_error", ProviderCredentialsInvalid),
        (402, "billing_error", ProviderQuotaExhausted),
        (403, "permission_error", ProviderCredentialsInvalid),
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
def test_a_status_means_one_fault(status: int, kind: str, fault: type[GatewayError]) -> None:
    error = claude().error(status, {}, body(kind))

    assert type(error) is fault
    assert error.upstream_status == status


@pytest.mark.parametrize(
    ("status", "fault"),
    [(413, PayloadTooLarge), (500, ProviderInternalError), (502, ProviderInternalError), (529, ProviderOverloaded)],
)
@pytest.mark.parametrize("content", [PAGE, b""])
def test_a_page_or_nothing_in_place_of_an_error_is_read_by_its_status(
    status: int, fault: type[GatewayError], content: bytes
) -> None:
    error = claude().error(status, {"content-type": "text/html"}, content)

    assert type(error) is fault
    assert "<" not in error.message


@pytest.mark.parametrize(
    ("message", "fault"),
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
def test_a_400_is_told_apart_by_its_words(message: str, fault: type[GatewayError]) -> None:
    error = claude().error(400, {}, body("invalid_request_error", message))

    assert type(error) is fault
    assert message in error.message


def test_words_count_in_a_400_alone() -> None:
    error = claude().error(500, {}, body("api_error", "prompt is too long"))

    assert type(error) is ProviderInternalError


def test_a_429_with_advice_is_a_rate_limit() -> None:
    error = claude().error(429, {"retry-after": "7"}, body("rate_limit_error"))

    assert type(error) is ProviderRateLimited
    assert error.retry_after == 7.0


def test_a_429_without_advice_is_the_spend_cap() -> None:
    error = claude().error(429, {}, body("rate_limit_error", "Monthly limit."))

    assert type(error) is ProviderQuotaExhausted
    assert "Monthly limit." in error.message
    assert error.upstream_status == 429


def test_a_429_to_be_sent_again_is_a_rate_limit() -> None:
    error = claude().error(429, {"x-should-retry": "true"}, body("rate_limit_error"))

    assert type(error) is ProviderRateLimited


def test_no_error_repeats_a_key() -> None:
    error = claude().error(401, {}, body("authentication_error", "invalid x-api-key sk-ant-api03-abcdefgh"))

    assert "abcdefgh" not in error.message
