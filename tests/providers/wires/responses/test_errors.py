"""Errors of the Responses wire: by status, inside a 200, as an event, and as the state of an answer."""

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
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.responses import added, decoded, delta, end, responses, sse, streamed

CODES: list[tuple[str, type[GatewayError]]] = [
    ("server_error", ProviderInternalError),
    ("rate_limit_exceeded", ProviderRateLimited),
    ("insufficient_quota", ProviderQuotaExhausted),
    ("invalid_prompt", ContentBlocked),
    ("bio_policy", ContentBlocked),
    ("cyber_policy", ContentBlocked),
    ("misalignment_policy_violation", ContentBlocked),
    ("image_content_policy_violation", ContentBlocked),
    ("data_residency_mismatch", ProviderRejectedRequest),
    ("invalid_image_url", ProviderRejectedRequest),
    ("failed_to_download_image", ProviderRejectedRequest),
    ("invalid_encrypted_content", ProviderRejectedRequest),
    ("context_length_exceeded", ContextTooLong),
    ("vector_store_timeout", ProviderTimeout),
    ("slow_down", ProviderOverloaded),
    ("too_many_requests", ProviderRateLimited),
    ("something_new", ProviderInternalError),
]


def raised_by(*payloads: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        streamed(sse(*payloads))
    return caught.value


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_an_answer_that_failed_says_why(code: str, kind: type[GatewayError]) -> None:
    error = {"code": code, "message": "Explained."}

    streamed_fault = raised_by(end("failed", error=error))
    with pytest.raises(GatewayError) as caught:
        decoded(status="failed", error=error)

    assert type(streamed_fault) is type(caught.value) is kind
    assert streamed_fault.message == caught.value.message
    assert f"({code}): Explained." in streamed_fault.message
    assert streamed_fault.upstream_status == 200


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_an_error_event_may_be_flat_or_nested(code: str, kind: type[GatewayError]) -> None:
    error = {"code": code, "message": "Explained.", "param": None}

    flat = raised_by({"type": "error", "sequence_number": 3, **error})
    nested = raised_by({"type": "error", "error": {"type": "invalid_request_error" if code == "x" else None, **error}})
    bare = raised_by({"error": error})

    assert type(flat) is type(nested) is type(bare) is kind
    assert "Explained." in flat.message


def test_an_error_by_its_type_alone_is_known() -> None:
    fault = raised_by({"type": "error", "error": {"type": "too_many_requests", "message": "Slow down."}})

    assert type(fault) is ProviderRateLimited


def test_an_error_after_content_is_raised_too() -> None:
    message = {"type": "message", "id": "msg_1"}

    fault = raised_by(added(0, **message), delta("output_text", "Hel"), {"type": "error", "code": "server_error"})

    assert type(fault) is ProviderInternalError


def test_an_answer_that_failed_is_paid_for_all_the_same() -> None:
    usage = {"input_tokens": 9, "output_tokens": 2}

    fault = raised_by(end("failed", error={"code": "server_error", "message": "Oh."}, usage=usage))

    assert fault.usage == Usage(9, 2, source=UsageSource.REPORTED)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_answer_may_fail_without_a_word(status: str) -> None:
    fault = raised_by({"type": f"response.{status}"})

    assert (type(fault), fault.message) == (ProviderInternalError, f"The provider ended the answer as '{status}'.")


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_an_answer_in_the_background_is_none(status: str) -> None:
    with pytest.raises(ProviderProtocolError, match="before it was done") as caught:
        decoded(status=status)

    assert "background" in caught.value.solution


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error", "code": "unsupported_parameter"}, ProviderRejectedRequest),
        (400, {"type": "invalid_request_error", "code": "invalid_prompt"}, ContentBlocked),
        (400, {"type": "invalid_request_error", "code": "context_length_exceeded"}, ContextTooLong),
        (400, {"type": "invalid_request_error", "code": "model_not_found"}, ModelNotFound),
        (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, ProviderCredentialsInvalid),
        (403, {"type": "invalid_request_error", "code": None}, ProviderCredentialsInvalid),
        (404, {"type": "invalid_request_error", "code": "model_not_found"}, ModelNotFound),
        (429, {"type": "requests", "code": "rate_limit_exceeded"}, ProviderRateLimited),
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, ProviderQuotaExhausted),
        (500, {"type": "server_error", "code": None}, ProviderInternalError),
        (503, {"type": "service_unavailable", "code": "slow_down"}, ProviderOverloaded),
    ],
)
def test_a_refusal_means_what_its_status_and_code_say(
    status: int, error: dict[str, Any], kind: type[GatewayError]
) -> None:
    body = json.dumps({"error": {"message": "Explained.", "param": None, **error}}).encode()

    fault = responses().error(status, {"retry-after-ms": "1500"}, body)

    assert type(fault) is kind
    assert (fault.upstream_status, fault.retry_after) == (status, 1.5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON, of 0 bytes"),
        (b"{broken", "not JSON, of 7 bytes"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"[]", "'list' instead of an object"),
        (b"{}", "no list of output items"),
        (b'{"status": "completed", "output": null}', "no list of output items"),
    ],
)
def test_what_is_no_answer_is_told(body: bytes, said: str) -> None:
    with pytest.raises(ProviderProtocolError, match=said):
        responses().decode(body)


def test_an_error_in_place_of_an_answer_is_raised() -> None:
    with pytest.raises(ProviderOverloaded, match="No room"):
        responses().decode(b'{"error": {"code": "slow_down", "message": "No room."}}')
