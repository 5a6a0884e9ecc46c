"""Errors of the Responses API: by status, inside a 200, as an event, and as a response status."""

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
    ProviderPermissionDenied,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from aimanager_server.core.provider_state import ProviderStateRejected
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.responses import (
    decode_response,
    delta_event,
    item_added,
    read_stream,
    responses_wire,
    terminal_event,
)
from tests.support.wire_cases import sse

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
    ("invalid_encrypted_content", ProviderStateRejected),
    ("context_length_exceeded", ContextTooLong),
    ("vector_store_timeout", ProviderTimeout),
    ("slow_down", ProviderOverloaded),
    ("too_many_requests", ProviderRateLimited),
    ("something_new", ProviderInternalError),
]


def raised_by(*payloads: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read_stream(sse(*payloads))
    return caught.value


@pytest.mark.parametrize(("code", "error_type"), CODES)
def test_failed_response_raises_its_error(code: str, error_type: type[GatewayError]) -> None:
    error = {"code": code, "message": "Explained."}

    streamed_error = raised_by(terminal_event("failed", error=error))
    with pytest.raises(GatewayError) as caught:
        decode_response(status="failed", error=error)

    assert type(streamed_error) is type(caught.value) is error_type
    assert streamed_error.message == caught.value.message
    assert f"({code}): Explained." in streamed_error.message
    assert streamed_error.upstream_status == 200


@pytest.mark.parametrize(("code", "error_type"), CODES)
def test_error_event_may_be_flat_or_nested(code: str, error_type: type[GatewayError]) -> None:
    error = {"code": code, "message": "Explained.", "param": None}

    flat = raised_by({"type": "error", "sequence_number": 3, **error})
    nested = raised_by({"type": "error", "error": {"type": "invalid_request_error" if code == "x" else None, **error}})
    bare = raised_by({"error": error})

    assert type(flat) is type(nested) is type(bare) is error_type
    assert "Explained." in flat.message


def test_error_type_without_a_code_is_mapped() -> None:
    error = raised_by({"type": "error", "error": {"type": "too_many_requests", "message": "Slow down."}})

    assert type(error) is ProviderRateLimited


def test_error_after_content_is_raised() -> None:
    message = {"type": "message", "id": "msg_1"}

    error = raised_by(
        item_added(0, **message), delta_event("output_text", "Hel"), {"type": "error", "code": "server_error"}
    )

    assert type(error) is ProviderInternalError


def test_failed_response_reports_its_usage() -> None:
    usage = {"input_tokens": 9, "output_tokens": 2}

    error = raised_by(terminal_event("failed", error={"code": "server_error", "message": "Oh."}, usage=usage))

    assert error.usage == Usage(9, 2, source=UsageSource.REPORTED)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_failed_status_without_an_error_is_raised(status: str) -> None:
    error = raised_by({"type": f"response.{status}"})

    assert (type(error), error.message) == (
        ProviderInternalError,
        f"The provider ended the response with status '{status}'.",
    )


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_background_response_is_a_protocol_error(status: str) -> None:
    with pytest.raises(ProviderProtocolError, match="unfinished response") as caught:
        decode_response(status=status)

    assert "background" in caught.value.solution


@pytest.mark.parametrize(
    ("status", "error", "error_type"),
    [
        (400, {"type": "invalid_request_error", "code": "unsupported_parameter"}, ProviderRejectedRequest),
        (400, {"type": "invalid_request_error", "code": "invalid_prompt"}, ContentBlocked),
        (400, {"type": "invalid_request_error", "code": "context_length_exceeded"}, ContextTooLong),
        (400, {"type": "invalid_request_error", "code": "model_not_found"}, ModelNotFound),
        (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, ProviderCredentialsInvalid),
        (403, {"type": "invalid_request_error", "code": None}, ProviderPermissionDenied),
        (404, {"type": "invalid_request_error", "code": "model_not_found"}, ModelNotFound),
        (429, {"type": "requests", "code": "rate_limit_exceeded"}, ProviderRateLimited),
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, ProviderQuotaExhausted),
        (500, {"type": "server_error", "code": None}, ProviderInternalError),
        (503, {"type": "service_unavailable", "code": "slow_down"}, ProviderOverloaded),
    ],
)
def test_status_and_code_determine_the_error(
    status: int, error: dict[str, Any], error_type: type[GatewayError]
) -> None:
    body = json.dumps({"error": {"message": "Explained.", "param": None, **error}}).encode()

    mapped = responses_wire().error(status, {"retry-after-ms": "1500"}, body)

    assert type(mapped) is error_type
    assert (mapped.upstream_status, mapped.retry_after) == (status, 1.5)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is empty"),
        (b"{broken", "not JSON .7 bytes"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"[]", "must be a JSON object, got 'list'"),
        (b"{}", "no list of output items"),
        (b'{"status": "completed", "output": null}', "no list of output items"),
    ],
)
def test_unreadable_body_is_a_protocol_error(body: bytes, message: str) -> None:
    with pytest.raises(ProviderProtocolError, match=message):
        responses_wire().decode(body)


def test_error_in_place_of_a_response_is_raised() -> None:
    with pytest.raises(ProviderOverloaded, match="No room"):
        responses_wire().decode(b'{"error": {"code": "slow_down", "message": "No room."}}')
