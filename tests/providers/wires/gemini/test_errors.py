"""Errors of the Gemini API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.errors import (
    ContentBlocked,
    ContextTooLong,
    GatewayError,
    ModelNotFound,
    ProviderCredentialsInvalid,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from tests.support.gemini import gemini_wire, response
from tests.support.wire_cases import sse

QUOTA = "You exceeded your current quota, please check your plan and billing details."


def retry_info(delay: str) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def error_info(name: str) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name, "domain": "googleapis.com"}


def quota_failure(quota: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]}


def error_body(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


ERRORS: list[tuple[dict[str, Any], type[GatewayError], float | None]] = [
    (error_body(400, "INVALID_ARGUMENT", "Unknown name."), ProviderRejectedRequest, None),
    (
        error_body(400, "INVALID_ARGUMENT", "API key not valid.", error_info("API_KEY_INVALID")),
        ProviderCredentialsInvalid,
        None,
    ),
    (
        error_body(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens (8)."),
        ContextTooLong,
        None,
    ),
    (error_body(401, "UNAUTHENTICATED", "No credentials."), ProviderCredentialsInvalid, None),
    (error_body(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), ProviderCredentialsInvalid, None),
    (error_body(404, "NOT_FOUND", "models/gemini-1 is not found."), ModelNotFound, None),
    (
        error_body(429, "RESOURCE_EXHAUSTED", QUOTA, quota_failure("PerMinutePerProject"), retry_info("34s")),
        ProviderRateLimited,
        34.0,
    ),
    (error_body(429, "RESOURCE_EXHAUSTED", QUOTA), ProviderRateLimited, None),
    (error_body(429, "RESOURCE_EXHAUSTED", QUOTA, retry_info("34.074824224s")), ProviderRateLimited, 34.074824224),
    (error_body(429, "RESOURCE_EXHAUSTED", QUOTA, retry_info("soon")), ProviderRateLimited, None),
    (
        error_body(429, "RESOURCE_EXHAUSTED", QUOTA, quota_failure("RequestsPerDay-FreeTier"), retry_info("9s")),
        ProviderQuotaExhausted,
        9.0,
    ),
    (error_body(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), ProviderQuotaExhausted, None),
    (error_body(500, "INTERNAL", "An internal error has occurred."), ProviderInternalError, None),
    (error_body(503, "UNAVAILABLE", "The model is overloaded."), ProviderOverloaded, None),
    (error_body(504, "DEADLINE_EXCEEDED", "Too slow."), ProviderTimeout, None),
]


@pytest.mark.parametrize(("body", "error_type", "retry_after"), ERRORS)
def test_error_details_determine_the_error(
    body: dict[str, Any], error_type: type[GatewayError], retry_after: float | None
) -> None:
    status = body["error"]["code"]

    errors = [gemini_wire().error(status, {}, json.dumps(value).encode()) for value in (body, [body])]

    for error in errors:
        assert (type(error), error.retry_after, error.upstream_status) == (error_type, retry_after, status)
        assert body["error"]["message"] in error.message


@pytest.mark.parametrize(("body", "error_type", "retry_after"), ERRORS)
def test_error_inside_a_success_is_raised(
    body: dict[str, Any], error_type: type[GatewayError], retry_after: float | None
) -> None:
    with pytest.raises(error_type) as caught:
        gemini_wire().stream_reader().feed(sse(body))
    with pytest.raises(error_type):
        gemini_wire().decode(json.dumps([body]).encode())

    assert (caught.value.retry_after, caught.value.upstream_status) == (retry_after, 200)


def test_message_contains_the_error_reason() -> None:
    body = error_body(400, "INVALID_ARGUMENT", "API key not valid.", error_info("API_KEY_INVALID"))

    message = gemini_wire().error(400, {}, json.dumps(body).encode()).message

    assert message == "The provider returned status 400 (API_KEY_INVALID): API key not valid."


def test_retry_after_header_overrides_the_error_details() -> None:
    body = error_body(429, "RESOURCE_EXHAUSTED", QUOTA, retry_info("34s"))

    assert gemini_wire().error(429, {"retry-after": "2"}, json.dumps(body).encode()).retry_after == 2.0


@pytest.mark.parametrize(
    ("status", "body", "error_type"),
    [
        (502, b"<html>Bad Gateway</html>", ProviderInternalError),
        (503, b"", ProviderOverloaded),
        (429, b"Too many", ProviderRateLimited),
        (500, b"[]", ProviderInternalError),
        (400, b'{"error": "bad"}', ProviderRejectedRequest),
        (400, b'{"error": {"details": "none", "message": "odd", "status": 3}}', ProviderRejectedRequest),
        (400, b'{"error": {"details": [1, {"violations": [2]}], "message": "odd"}}', ProviderRejectedRequest),
    ],
)
def test_status_determines_the_error_otherwise(status: int, body: bytes, error_type: type[GatewayError]) -> None:
    assert type(gemini_wire().error(status, {}, body)) is error_type


def test_plain_text_error_inside_a_success_is_an_internal_error() -> None:
    with pytest.raises(ProviderInternalError, match="broken"):
        gemini_wire().decode(b'{"error": "broken"}')


@pytest.mark.parametrize("name", ["SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "OTHER", "NEW_REASON"])
def test_blocked_prompt_is_raised(name: str) -> None:
    body = {"promptFeedback": {"blockReason": name}, "usageMetadata": {"promptTokenCount": 4}}

    with pytest.raises(ContentBlocked, match=name):
        gemini_wire().decode(json.dumps(body).encode())
    with pytest.raises(ContentBlocked, match=name):
        gemini_wire().stream_reader().feed(sse(body))


def test_prompt_feedback_with_candidates_is_ignored() -> None:
    body = response({"text": "Hi"}, finish="STOP", promptFeedback={"blockReason": "SAFETY"})

    assert gemini_wire().decode(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("name", "error_type"),
    [
        ("MALFORMED_FUNCTION_CALL", ProviderInternalError),
        ("MALFORMED_RESPONSE", ProviderInternalError),
        ("UNEXPECTED_TOOL_CALL", ProviderInternalError),
        ("TOO_MANY_TOOL_CALLS", ProviderInternalError),
        ("MISSING_THOUGHT_SIGNATURE", ProviderRejectedRequest),
    ],
)
def test_failed_finish_reason_is_raised(name: str, error_type: type[GatewayError]) -> None:
    body = response(finish=name)
    body["candidates"][0]["finishMessage"] = "Malformed call: print(AIzaSyA-1234567890)"

    with pytest.raises(error_type, match=f"{name!r}: Malformed call") as caught:
        gemini_wire().decode(json.dumps(body).encode())
    with pytest.raises(error_type):
        gemini_wire().stream_reader().feed(sse(response(finish=name)))

    assert "1234567890" not in caught.value.message


@pytest.mark.parametrize("body", [b"", b"no", b"<html></html>", b"3", b"[1]", b"{}", b"[]", b'{"candidates": 1}'])
def test_unreadable_body_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        gemini_wire().decode(body)
