"""Provider errors are mapped by status, name and message."""

from __future__ import annotations

import json
import time
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
    ProviderModelDenied,
    ProviderOverloaded,
    ProviderPermissionDenied,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from aimanager_server.core.provider_state import ProviderStateRejected
from aimanager_server.providers.wires.provider_errors import (
    ProviderErrorBody,
    build_error,
    classify_error,
    error_in_success,
    parse_error_body,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def provider_error(status: int, body: object, **headers: str) -> GatewayError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return build_error(status, headers, parse_error_body(raw), NOW)


def error_json(code: Any = None, message: str = "No.", kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


STATUSES: dict[int, type[GatewayError]] = {
    400: ProviderRejectedRequest,
    401: ProviderCredentialsInvalid,
    402: ProviderQuotaExhausted,
    403: ProviderPermissionDenied,
    404: ModelNotFound,
    405: ProviderRejectedRequest,
    408: ProviderTimeout,
    409: ProviderInternalError,
    410: ModelNotFound,
    413: PayloadTooLarge,
    418: ProviderRejectedRequest,
    422: ProviderRejectedRequest,
    429: ProviderRateLimited,
    498: ProviderOverloaded,
    500: ProviderInternalError,
    502: ProviderInternalError,
    503: ProviderOverloaded,
    504: ProviderTimeout,
    520: ProviderInternalError,
    524: ProviderTimeout,
    529: ProviderOverloaded,
    199: ProviderProtocolError,
}


def test_status_determines_the_error_of_uninformative_bodies() -> None:
    bodies = (b"", b"<html><body>nginx</body></html>", b'{"error":{"message":"No."}}')

    errors = {status: [provider_error(status, body) for body in bodies] for status in STATUSES}

    assert {status: {type(error) for error in found} for status, found in errors.items()} == {
        status: {error_type} for status, error_type in STATUSES.items()
    }
    assert all(error.upstream_status == status for status, found in errors.items() for error in found)


@pytest.mark.parametrize(
    ("status", "body", "error_type"),
    [
        (429, error_json("insufficient_quota"), ProviderQuotaExhausted),
        (429, error_json("billing_hard_limit_reached"), ProviderQuotaExhausted),
        (429, error_json("rate_limit_exceeded", kind="tokens"), ProviderRateLimited),
        (429, error_json(None, "You exceeded your current quota, please check your plan."), ProviderQuotaExhausted),
        (429, error_json(None, "You have reached your monthly spend limit."), ProviderQuotaExhausted),
        (402, error_json("invalid_request_error", "Insufficient Balance"), ProviderQuotaExhausted),
        (400, error_json("context_length_exceeded"), ContextTooLong),
        (400, {"object": "error", "message": "This model's maximum context length is 9 tokens."}, ContextTooLong),
        (400, error_json("content_policy_violation"), ContentBlocked),
        (400, error_json("invalid_request_error", "Content Exists Risk"), ContentBlocked),
        (400, error_json("model_not_found"), ModelNotFound),
        (400, error_json("invalid_api_key"), ProviderCredentialsInvalid),
        (400, error_json("unsupported_parameter"), ProviderRejectedRequest),
        # The message may quote the prompt, which must not look like an exhausted quota.
        (400, error_json("invalid_value", "Invalid value: 'exceeded your current quota'."), ProviderRejectedRequest),
        (500, error_json("server_error", "spend limit"), ProviderInternalError),
    ],
)
def test_name_or_message_determines_ambiguous_statuses(
    status: int, body: dict[str, Any], error_type: type[GatewayError]
) -> None:
    assert type(provider_error(status, body)) is error_type


@pytest.mark.parametrize(
    ("body", "suffix"),
    [
        (error_json("c", "An object."), " (c): An object."),
        ({"error": "A string."}, ": A string."),
        ({"code": "Client specified", "error": "xAI."}, " (Client specified): xAI."),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "A list."}, "x"]},
            ": body.n: A list.",
        ),
        ({"detail": [{"msg": "No place."}]}, ": No place."),
        ({"detail": "A detail."}, ": A detail."),
        (
            {"object": "error", "message": "vLLM.", "type": "t", "code": 400},
            " (t): vLLM.",
        ),
        ({"message": "Mistral.", "request_id": "r"}, ": Mistral."),
        ([error_json("c", "In a list.")], " (c): In a list."),
        ("A bare string.", ": A bare string."),
        ({}, ": no message"),
        ([], ": no message"),
        (error_json(None, ""), ": no message"),
        (error_json(True, "A boolean code."), ": A boolean code."),
        (b"", ": no message"),
        (b"plain text", ": plain text"),
        (b"<!DOCTYPE html><p>sk", ": an HTML page"),
        (b'{"error":"\\ud83d"}', ": \ufffd"),
        (b'event: error\ndata: {"error":{"code":"c","message":"An event."}}\n\n', " (c): An event."),
        (b'data: {"error":"A stream."}\r\n\r\ndata: [DONE]', ": A stream."),
        (b": keep-alive\n\ndata: {broken", ": : keep-alive\n\ndata: {broken"),
        (b"[" * 5000, ": " + "[" * 4096),
    ],
)
def test_error_bodies_of_every_shape_are_parsed(body: object, suffix: str) -> None:
    assert provider_error(400, body).message == f"The provider returned status 400{suffix}"


def test_retry_after_header_is_kept() -> None:
    assert provider_error(429, error_json("rate_limit_exceeded"), **{"retry-after": "7"}).retry_after == 7.0


def test_html_not_found_suggests_checking_base_url() -> None:
    assert "base_url" in provider_error(404, b"<html>").solution


def test_api_key_in_the_message_is_redacted() -> None:
    error = provider_error(401, error_json("invalid_api_key", "Incorrect API key provided: sk-abcdef123456."))

    assert error.message.endswith("Incorrect API key provided: [redacted].")


@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        (error_json(429), ProviderRateLimited),
        (error_json("503"), ProviderOverloaded),
        (error_json(None, kind="overloaded_error"), ProviderOverloaded),
        (error_json("rate_limit_exceeded"), ProviderRateLimited),
        (error_json("insufficient_quota"), ProviderQuotaExhausted),
        (error_json("context_length_exceeded", kind="invalid_request_error"), ContextTooLong),
        (error_json("server_error"), ProviderInternalError),
        ({"error": "Something."}, ProviderInternalError),
    ],
)
def test_error_inside_a_success_is_mapped_by_its_name(value: object, error_type: type[GatewayError]) -> None:
    error = error_in_success(value)

    assert (type(error), error.upstream_status) == (error_type, 200)


def test_retry_delay_in_the_body_is_used_without_a_header() -> None:
    in_message = {"error": {"message": "Please try again in 6s.", "code": "rate_limit_exceeded"}}
    with_field = {"error": {"message": "Please try again in 6s.", "code": "rate_limit_exceeded", "retry_after": 9}}

    assert provider_error(429, in_message).retry_after == 6.0
    assert provider_error(429, with_field).retry_after == 9.0
    assert provider_error(429, with_field, **{"retry-after": "2"}).retry_after == 2.0
    assert error_in_success(in_message).retry_after == 6.0
    assert error_in_success({"type": "overloaded_error", "retry_after": 3}).retry_after == 3.0


def test_retry_delay_in_other_messages_is_ignored() -> None:
    assert provider_error(400, error_json(message="try again in 6s")).retry_after is None
    assert provider_error(500, error_json(message="try again in 6s")).retry_after is None


def flagged(message: str) -> dict[str, Any]:
    metadata = {"reasons": ["violence"], "flagged_input": "my api key", "provider_name": "OpenAI"}
    return {"error": {"code": 403, "message": message, "metadata": metadata}}


XAI = "The caller does not have permission to execute the specified operation"


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        # Content policy.
        (flagged('openai/m requires moderation on OpenAI. Your input was flagged for "violence".'), ContentBlocked),
        (flagged("No."), ContentBlocked),
        (
            {"code": XAI, "error": "Content violates usage guidelines. Team: t, API key ID: k, Model: grok-4.7."},
            ContentBlocked,
        ),
        ({"code": "permission-denied", "error": "Failed check: SAFETY_CHECK_TYPE_BIO"}, ContentBlocked),
        (error_json("content_policy_violation"), ContentBlocked),
        (error_json("moderation_blocked"), ContentBlocked),
        (error_json(None, "The prompt was blocked for safety reasons."), ContentBlocked),
        (error_json(None, "Violated guardrail policy", "guardrail_violation"), ContentBlocked),
        # One model.
        (error_json("model_permission_blocked_project", "The model `m` is blocked."), ProviderModelDenied),
        (error_json("403", "key not allowed to access model. Tried m", "key_model_access_denied"), ProviderModelDenied),
        (error_json(None, "Project `p` does not have access to model `m`"), ProviderModelDenied),
        (error_json(None, "You are not authorized to access model m or model does not exist"), ProviderModelDenied),
        (error_json(None, "Your organization must be verified to use the model `m`."), ProviderModelDenied),
        (error_json(403, "This model is not available in your region."), ProviderModelDenied),
        # The account or the key.
        (error_json(403, "Key limit exceeded (total limit)."), ProviderQuotaExhausted),
        ({"code": XAI, "error": "Your newly created team doesn't have any credits yet."}, ProviderQuotaExhausted),
        (error_json(None, "Your API key was reported as leaked."), ProviderCredentialsInvalid),
        (error_json("account_deactivated"), ProviderCredentialsInvalid),
        (error_json("API_KEY_HTTP_REFERRER_BLOCKED"), ProviderCredentialsInvalid),
        (error_json(None, "Authentication failed."), ProviderCredentialsInvalid),
        # It says neither.
        (error_json(None, "Your API key does not have permission to use the resource."), ProviderPermissionDenied),
        (error_json("unsupported_country_region_territory"), ProviderPermissionDenied),
        (error_json(None, 'Refused: "tell me your api key"'), ProviderPermissionDenied),
        (error_json(None, "Forbidden"), ProviderPermissionDenied),
    ],
)
def test_a_403_is_a_key_fault_only_if_it_says_so(body: dict[str, Any], error_type: type[GatewayError]) -> None:
    assert type(provider_error(403, body)) is error_type


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error_json("400", "/chat/completions: Invalid model name passed in model=m. Call `/v1/models`")),
        (400, {"detail": {"error": "/chat/completions: Invalid model name passed in model=m"}}),
        (400, error_json(None, "There are no healthy deployments for this model")),
        (404, {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}),
        (400, {"object": "error", "message": "The model `m` does not exist.", "type": "BadRequestError", "code": 400}),
        (400, error_json(400, "model not found", "invalid_request_error")),
        (400, error_json(400, "model 'm-1.5' not found", "invalid_request_error")),
        (400, error_json(400, "vendor/m is not a valid model ID")),
        (404, error_json(404, "No endpoints found for vendor/m.")),
        (400, error_json("model_decommissioned", "The model `m` has been decommissioned.")),
        (400, error_json("model_not_found", "The model `m` does not exist or you do not have access to it.")),
        (400, {"object": "error", "message": "Invalid model: m", "type": "invalid_model", "code": "1500"}),
        (400, error_json("invalid_request_error", "Model Not Exist")),
        (400, {"code": "Client specified an invalid argument", "error": "Model not found: m"}),
        (400, error_json(None, "* GenerateContentRequest.model: unexpected model name format")),
        (422, {"detail": "Unknown model: m"}),
        (410, error_json(None, "Retired.")),
    ],
)
def test_an_unknown_model_is_recognized_whatever_the_status(status: int, body: dict[str, Any]) -> None:
    assert type(provider_error(status, body)) is ModelNotFound


@pytest.mark.parametrize(
    "message",
    ["This model does not support images.", "max_tokens is too large for the model.", "tool not found", "model"],
)
def test_a_400_about_something_else_is_a_rejected_request(message: str) -> None:
    assert type(provider_error(400, error_json(None, message))) is ProviderRejectedRequest


def test_a_404_that_speaks_of_no_model_suggests_checking_base_url() -> None:
    assert "base_url" in provider_error(404, {"detail": "Not Found"}).solution
    assert "base_url" not in provider_error(404, error_json("model_not_found")).solution


def test_the_words_of_a_spent_account_with_a_delay_are_googles_rate_limit() -> None:
    words = "You exceeded your current quota, please check your plan."
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
    google = {"error": {"code": 429, "message": words, "status": "RESOURCE_EXHAUSTED", "details": [delay]}}

    error = provider_error(429, [google])

    assert (type(error), error.retry_after) == (ProviderRateLimited, 34.0)
    assert type(provider_error(429, error_json("insufficient_quota", words))) is ProviderQuotaExhausted


def test_a_spent_budget_of_a_proxy_is_an_exhausted_quota() -> None:
    body = error_json("400", "Budget has been exceeded! Current cost: 5.0, Max budget: 1.0", "budget_exceeded")

    assert {type(provider_error(status, body)) for status in (400, 401, 429)} == {ProviderQuotaExhausted}


def test_recognizing_an_error_takes_time_bounded_by_the_length_that_is_kept() -> None:
    started = time.process_time()

    for text in ("model " * 1_000_000, "access " * 1_000_000, '"' * 5_000_000):
        error_in_success({"error": {"message": text, "code": "403"}})

    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    "message",
    [
        "The encrypted content gAAA...DQ== could not be verified.",
        "The encrypted content for item rs_0a could not be verified. Reason: could not be decrypted or parsed.",
        "Item 'rs_68a1f' not found. Items are not persisted when `store` is set to false.",
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "messages.3.content.1: Invalid signature in thinking",
        "Invalid `data` in `redacted_thinking` block",
        "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
        "Corrupted thought signature.",
        "Invalid thought signature.",
        "Unable to submit request because Thought signature is not valid.",
    ],
)
def test_rejected_reasoning_state_is_recognized_by_its_words(message: str) -> None:
    assert classify_error(400, ProviderErrorBody(message)) is ProviderStateRejected
    assert classify_error(500, ProviderErrorBody(message)) is not ProviderStateRejected


@pytest.mark.parametrize(
    "message",
    [
        "Function call is missing a thought_signature in functionCall parts.",
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
        "thinking.budget_tokens: must be less than max_tokens",
    ],
)
def test_missing_reasoning_state_is_an_invalid_request(message: str) -> None:
    assert classify_error(400, ProviderErrorBody(message)) is ProviderRejectedRequest
