"""What Gemini's refusals mean."""

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
from tests.support.gemini import gemini, response, sse

QUOTA = "You exceeded your current quota, please check your plan and billing details."


def retry(delay: str) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def reason(name: str) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name, "domain": "googleapis.com"}


def violation(quota: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]}


def refusal(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


REFUSALS: list[tuple[dict[str, Any], type[GatewayError], float | None]] = [
    (refusal(400, "INVALID_ARGUMENT", "Unknown name."), ProviderRejectedRequest, None),
    (
        refusal(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")),
        ProviderCredentialsInvalid,
        None,
    ),
    (
        refusal(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        ContextTooLong,
        None,
    ),
    (refusal(401, "UNAUTHENTICATED", "No credentials."), ProviderCredentialsInvalid, None),
    (refusal(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), ProviderCredentialsInvalid, None),
    (refusal(404, "NOT_FOUND", "models/gemini-1 is not found."), ModelNotFound, None),
    (
        refusal(429, "RESOURCE_EXHAUSTED", QUOTA, violation("PerMinutePerProject"), retry("34s")),
        ProviderRateLimited,
        34.0,
    ),
    (refusal(429, "RESOURCE_EXHAUSTED", QUOTA), ProviderRateLimited, None),
    (refusal(429, "RESOURCE_EXHAUSTED", QUOTA, retry("34.074824224s")), ProviderRateLimited, 34.074824224),
    (refusal(429, "RESOURCE_EXHAUSTED", QUOTA, retry("soon")), ProviderRateLimited, None),
    (
        refusal(429, "RESOURCE_EXHAUSTED", QUOTA, violation("RequestsPerDay-FreeTier"), retry("9s")),
        ProviderQuotaExhausted,
        9.0,
    ),
    (refusal(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), ProviderQuotaExhausted, None),
    (refusal(500, "INTERNAL", "An internal error has occurred."), ProviderInternalError, None),
    (refusal(503, "UNAVAILABLE", "The model is overloaded."), ProviderOverloaded, None),
    (refusal(504, "DEADLINE_EXCEEDED", "Too slow."), ProviderTimeout, None),
]


@pytest.mark.parametrize(("body", "kind", "wait"), REFUSALS)
def test_a_refusal_is_told_by_its_details(body: dict[str, Any], kind: type[GatewayError], wait: float | None) -> None:
    fault = gemini().error(body["error"]["code"], {}, json.dumps(body).encode())

    assert (type(fault), fault.retry_after, fault.upstream_status) == (kind, wait, body["error"]["code"])
    assert body["error"]["message"] in fault.message


@pytest.mark.parametrize(("body", "kind", "wait"), REFUSALS)
def test_a_refusal_in_a_list_or_a_stream_means_the_same(
    body: dict[str, Any], kind: type[GatewayError], wait: float | None
) -> None:
    listed = gemini().error(body["error"]["code"], {}, json.dumps([body]).encode())

    with pytest.raises(kind) as inside:
        gemini().reader().feed(sse(body))
    with pytest.raises(kind):
        gemini().decode(json.dumps([body]).encode())

    assert (type(listed), listed.retry_after) == (kind, wait)
    assert (inside.value.retry_after, inside.value.upstream_status) == (wait, 200)


def test_the_name_of_the_cause_is_told() -> None:
    body = refusal(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID"))

    told = gemini().error(400, {}, json.dumps(body).encode()).message

    assert told == "The provider answered 400 (API_KEY_INVALID): API key not valid."


def test_advice_in_a_header_counts_before_that_of_the_details() -> None:
    body = refusal(429, "RESOURCE_EXHAUSTED", QUOTA, retry("34s"))

    assert gemini().error(429, {"retry-after": "2"}, json.dumps(body).encode()).retry_after == 2.0


@pytest.mark.parametrize(
    ("status", "body", "kind"),
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
def test_a_refusal_in_any_other_form_goes_by_its_status(status: int, body: bytes, kind: type[GatewayError]) -> None:
    assert type(gemini().error(status, {}, body)) is kind


def test_an_error_of_plain_text_inside_an_answer_is_a_failure() -> None:
    with pytest.raises(ProviderInternalError, match="broken"):
        gemini().decode(b'{"error": "broken"}')


@pytest.mark.parametrize("name", ["SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "OTHER", "NEW_REASON"])
def test_a_blocked_prompt_is_no_answer(name: str) -> None:
    body = {"promptFeedback": {"blockReason": name}, "usageMetadata": {"promptTokenCount": 4}}

    with pytest.raises(ContentBlocked, match=name):
        gemini().decode(json.dumps(body).encode())
    with pytest.raises(ContentBlocked, match=name):
        gemini().reader().feed(sse(body))


def test_feedback_beside_an_answer_blocks_nothing() -> None:
    body = response({"text": "Hi"}, finish="STOP", promptFeedback={"blockReason": "SAFETY"})

    assert gemini().decode(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", ProviderInternalError),
        ("MALFORMED_RESPONSE", ProviderInternalError),
        ("UNEXPECTED_TOOL_CALL", ProviderInternalError),
        ("TOO_MANY_TOOL_CALLS", ProviderInternalError),
        ("MISSING_THOUGHT_SIGNATURE", ProviderRejectedRequest),
    ],
)
def test_a_failed_end_is_an_error(name: str, kind: type[GatewayError]) -> None:
    body = response(finish=name)
    body["candidates"][0]["finishMessage"] = "Malformed call: print(AIzaSyA-1234567890)"

    with pytest.raises(kind, match=f"{name!r}: Malformed call") as failed:
        gemini().decode(json.dumps(body).encode())
    with pytest.raises(kind):
        gemini().reader().feed(sse(response(finish=name)))

    assert "1234567890" not in failed.value.message


@pytest.mark.parametrize("body", [b"", b"no", b"<html></html>", b"3", b"[1]", b"{}", b"[]", b'{"candidates": 1}'])
def test_what_is_no_answer_is_told_as_such(body: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        gemini().decode(body)
