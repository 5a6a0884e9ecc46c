"""What a refusal means, by its status and its words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

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
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from aimanager_server.providers.wires.provider_errors import fault_inside, fault_of, read_error

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def refusal(status: int, body: object, **headers: str) -> GatewayError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fault_of(status, headers, read_error(raw), NOW)


def error(code: Any = None, message: str = "No.", kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejectedRequest),
        (401, ProviderCredentialsInvalid),
        (402, ProviderQuotaExhausted),
        (403, ProviderCredentialsInvalid),
        (404, ModelNotFound),
        (405, ProviderRejectedRequest),
        (408, ProviderTimeout),
        (409, ProviderInternalError),
        (413, PayloadTooLarge),
        (418, ProviderRejectedRequest),
        (422, ProviderRejectedRequest),
        (429, ProviderRateLimited),
        (498, ProviderOverloaded),
        (500, ProviderInternalError),
        (502, ProviderInternalError),
        (503, ProviderOverloaded),
        (504, ProviderTimeout),
        (520, ProviderInternalError),
        (524, ProviderTimeout),
        (529, ProviderOverloaded),
        (199, ProviderProtocolError),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html><body>nginx</body></html>", b'{"error":{"message":"No."}}'])
def test_the_status_decides_where_the_words_add_nothing(status: int, kind: type[GatewayError], body: bytes) -> None:
    fault = refusal(status, body)

    assert (type(fault), fault.upstream_status) == (kind, status)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, error("insufficient_quota"), ProviderQuotaExhausted),
        (429, error("billing_hard_limit_reached"), ProviderQuotaExhausted),
        (429, error("rate_limit_exceeded", kind="tokens"), ProviderRateLimited),
        (429, error(None, "You exceeded your current quota, please check your plan."), ProviderQuotaExhausted),
        (429, error(None, "You have reached your monthly spend limit."), ProviderQuotaExhausted),
        (402, error("invalid_request_error", "Insufficient Balance"), ProviderQuotaExhausted),
        (400, error("context_length_exceeded"), ContextTooLong),
        (400, {"object": "error", "message": "This model's maximum context length is 9 tokens."}, ContextTooLong),
        (400, error("content_policy_violation"), ContentBlocked),
        (400, error("invalid_request_error", "Content Exists Risk"), ContentBlocked),
        (400, error("model_not_found"), ModelNotFound),
        (400, error("invalid_api_key"), ProviderCredentialsInvalid),
        (400, error("unsupported_parameter"), ProviderRejectedRequest),
        # The message may repeat the prompt: it must not look like an empty account.
        (400, error("invalid_value", "Invalid value: 'exceeded your current quota'."), ProviderRejectedRequest),
        (500, error("server_error", "spend limit"), ProviderInternalError),
    ],
)
def test_the_words_decide_where_a_status_means_several_things(
    status: int, body: dict[str, Any], kind: type[GatewayError]
) -> None:
    assert type(refusal(status, body)) is kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (error("c", "An object."), "The provider answered 400 (c): An object."),
        ({"error": "A string."}, "The provider answered 400: A string."),
        ({"code": "Client specified", "error": "xAI."}, "The provider answered 400 (Client specified): xAI."),
        ({"detail": [{"loc": ["body", "n"], "msg": "A list."}, "x"]}, "The provider answered 400: body.n: A list."),
        ({"detail": [{"msg": "No place."}]}, "The provider answered 400: No place."),
        ({"detail": "A detail."}, "The provider answered 400: A detail."),
        ({"object": "error", "message": "vLLM.", "type": "t", "code": 400}, "The provider answered 400 (t): vLLM."),
        ({"message": "Mistral.", "request_id": "r"}, "The provider answered 400: Mistral."),
        ([error("c", "In a list.")], "The provider answered 400 (c): In a list."),
        ("A bare string.", "The provider answered 400: A bare string."),
        ({}, "The provider answered 400: no explanation was given"),
        ([], "The provider answered 400: no explanation was given"),
        (error(None, ""), "The provider answered 400: no explanation was given"),
        (error(True, "A boolean code."), "The provider answered 400: A boolean code."),
        (b"", "The provider answered 400: no explanation was given"),
        (b"plain text", "The provider answered 400: plain text"),
        (b"<!DOCTYPE html><p>sk", "The provider answered 400: a web page came in place of an explanation"),
        (b'{"error":"\\ud83d"}', "The provider answered 400: \ufffd"),
        (b"[" * 5000, "The provider answered 400: " + "[" * 5000),
    ],
)
def test_a_body_of_any_shape_is_read(body: object, message: str) -> None:
    assert refusal(400, body).message == message


def test_the_advice_to_wait_is_kept() -> None:
    assert refusal(429, error("rate_limit_exceeded"), **{"retry-after": "7"}).retry_after == 7.0


def test_a_page_for_a_missing_model_speaks_of_the_address() -> None:
    assert "base_url" in refusal(404, b"<html>").solution


def test_a_key_in_the_message_is_masked() -> None:
    fault = refusal(401, error("invalid_api_key", "Incorrect API key provided: sk-abcdef123456."))

    assert fault.message.endswith("Incorrect API key provided: [masked].")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (error(429), ProviderRateLimited),
        (error("503"), ProviderOverloaded),
        (error(None, kind="overloaded_error"), ProviderOverloaded),
        (error("rate_limit_exceeded"), ProviderRateLimited),
        (error("insufficient_quota"), ProviderQuotaExhausted),
        (error("context_length_exceeded", kind="invalid_request_error"), ContextTooLong),
        (error("server_error"), ProviderInternalError),
        ({"error": "Something."}, ProviderInternalError),
    ],
)
def test_an_error_inside_a_success_means_what_its_status_would_have(value: object, kind: type[GatewayError]) -> None:
    fault = fault_inside(value)

    assert (type(fault), fault.upstream_status) == (kind, 200)


def test_advice_in_the_body_counts_where_no_header_has_any() -> None:
    slow = {"error": {"message": "Please try again in 6s.", "code": "rate_limit_exceeded"}}
    told = {"error": {"message": "Please try again in 6s.", "code": "rate_limit_exceeded", "retry_after": 9}}

    assert refusal(429, slow).retry_after == 6.0
    assert refusal(429, told).retry_after == 9.0
    assert refusal(429, told, **{"retry-after": "2"}).retry_after == 2.0
    assert fault_inside(slow).retry_after == 6.0
    assert fault_inside({"type": "overloaded_error", "retry_after": 3}).retry_after == 3.0


def test_words_that_are_not_about_waiting_are_no_advice() -> None:
    assert refusal(400, error(message="try again in 6s")).retry_after is None
    assert refusal(500, error(message="try again in 6s")).retry_after is None
