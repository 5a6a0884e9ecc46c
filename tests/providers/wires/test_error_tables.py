"""Every row of the providers' own tables of errors, read by the wires that their servers speak."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.providers.wires.wire import Wire
from tests.support.anthropic import anthropic_wire
from tests.support.chat_completions import chat_wire
from tests.support.gemini import gemini_wire
from tests.support.responses import responses_wire

Row = tuple[int, dict[str, Any], type[GatewayError]]


def openai(code: str | None, kind: str | None = "invalid_request_error", message: str = "No.") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def claude(kind: str, message: str = "No.") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def google(code: int, status: str, *reasons: str) -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason} for reason in reasons]
    return {"error": {"code": code, "message": "No.", "status": status, "details": details}}


OPENAI: list[Row] = [
    (400, openai("context_length_exceeded"), errors.ContextTooLong),
    (400, openai("unsupported_parameter"), errors.ProviderRejectedRequest),
    (400, openai("unsupported_value"), errors.ProviderRejectedRequest),
    (400, openai("invalid_prompt"), errors.ContentBlocked),
    (400, openai("content_policy_violation"), errors.ContentBlocked),
    (400, openai("cyber_policy"), errors.ContentBlocked),
    (400, openai("model_not_found"), errors.ModelNotFound),
    (401, openai("invalid_api_key"), errors.ProviderCredentialsInvalid),
    (403, openai("unsupported_country_region_territory", "request_forbidden"), errors.ProviderPermissionDenied),
    (
        403,
        openai("model_not_found", message="Project `p` does not have access to model `m`"),
        errors.ProviderModelDenied,
    ),
    (403, openai(None, message="Your organization must be verified to use the model `m`."), errors.ProviderModelDenied),
    (404, openai("model_not_found"), errors.ModelNotFound),
    (408, openai(None), errors.ProviderTimeout),
    (409, openai(None), errors.ProviderInternalError),
    (422, openai(None), errors.ProviderRejectedRequest),
    (429, openai("rate_limit_exceeded", "requests"), errors.ProviderRateLimited),
    (429, openai("rate_limit_exceeded", "tokens"), errors.ProviderRateLimited),
    (429, openai("insufficient_quota", "insufficient_quota"), errors.ProviderQuotaExhausted),
    (429, openai("billing_hard_limit_reached"), errors.ProviderQuotaExhausted),
    (500, openai(None, "server_error"), errors.ProviderInternalError),
    (502, openai(None, "server_error"), errors.ProviderInternalError),
    (503, openai("slow_down", "service_unavailable"), errors.ProviderOverloaded),
    (504, openai(None, "server_error"), errors.ProviderTimeout),
]
COMPATIBLE: list[Row] = [
    # DeepSeek
    (400, openai("invalid_request_error", message="Invalid format."), errors.ProviderRejectedRequest),
    (401, openai("invalid_request_error", "authentication_error"), errors.ProviderCredentialsInvalid),
    (402, openai("invalid_request_error", "unknown_error", "Insufficient Balance"), errors.ProviderQuotaExhausted),
    (422, openai("invalid_request_error"), errors.ProviderRejectedRequest),
    (429, openai(None, None, "Too many concurrent requests"), errors.ProviderRateLimited),
    (503, openai(None, None), errors.ProviderOverloaded),
    # Mistral
    (401, {"message": "Unauthorized", "request_id": "r"}, errors.ProviderCredentialsInvalid),
    (422, {"detail": [{"loc": ["body", "n"], "msg": "Field required"}]}, errors.ProviderRejectedRequest),
    (429, {"object": "error", "message": "Service tier capacity exceeded", "code": "3505"}, errors.ProviderRateLimited),
    # xAI
    (
        400,
        {"code": "Client specified", "error": "Incorrect API key provided: xa***."},
        errors.ProviderCredentialsInvalid,
    ),
    (
        429,
        {"code": "Some resource", "error": "Your team has used all available credits or reached its spending limit."},
        errors.ProviderQuotaExhausted,
    ),
    (
        400,
        {"code": "Client specified", "error": "This model's maximum prompt length is 8 but the request has 9 tokens."},
        errors.ContextTooLong,
    ),
    # Groq
    (413, openai("rate_limit_exceeded", "tokens", "Request too large for model `m`"), errors.ProviderRateLimited),
    (413, openai("request_too_large"), errors.PayloadTooLarge),
    (498, openai("capacity_exceeded"), errors.ProviderOverloaded),
    # Ollama, vLLM, llama.cpp
    (404, {"error": "model 'm' not found, try pulling it first"}, errors.ModelNotFound),
    (
        400,
        {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400},
        errors.ContextTooLong,
    ),
    (400, {"error": {"code": 400, "message": "No.", "type": "exceed_context_size_error"}}, errors.ContextTooLong),
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, errors.ProviderOverloaded),
    # OpenRouter
    (402, {"error": {"code": 402, "message": "Insufficient credits"}}, errors.ProviderQuotaExhausted),
    (502, {"error": {"code": 502, "message": "Provider returned error"}}, errors.ProviderInternalError),
]
CLAUDE: list[Row] = [
    (400, claude("invalid_request_error"), errors.ProviderRejectedRequest),
    (400, claude("invalid_request_error", "This would exceed your spend limit."), errors.ProviderQuotaExhausted),
    (401, claude("authentication_error"), errors.ProviderCredentialsInvalid),
    (402, claude("billing_error"), errors.ProviderQuotaExhausted),
    (403, claude("permission_error"), errors.ProviderPermissionDenied),
    (403, claude("permission_error", "Your key may not use the model m: not allowed"), errors.ProviderModelDenied),
    (404, claude("not_found_error", "model: m"), errors.ModelNotFound),
    (408, claude("timeout_error"), errors.ProviderTimeout),
    (409, claude("conflict_error"), errors.ProviderInternalError),
    (413, claude("request_too_large"), errors.PayloadTooLarge),
    (413, claude("invalid_request_error"), errors.PayloadTooLarge),
    (429, claude("rate_limit_error"), errors.ProviderRateLimited),
    (500, claude("api_error"), errors.ProviderInternalError),
    (504, claude("timeout_error"), errors.ProviderTimeout),
    (529, claude("overloaded_error"), errors.ProviderOverloaded),
]
GEMINI: list[Row] = [
    (400, google(400, "INVALID_ARGUMENT"), errors.ProviderRejectedRequest),
    (400, google(400, "INVALID_ARGUMENT", "API_KEY_INVALID"), errors.ProviderCredentialsInvalid),
    (401, google(401, "UNAUTHENTICATED"), errors.ProviderCredentialsInvalid),
    (403, google(403, "PERMISSION_DENIED"), errors.ProviderPermissionDenied),
    (403, google(403, "PERMISSION_DENIED", "API_KEY_SERVICE_BLOCKED"), errors.ProviderCredentialsInvalid),
    (403, google(403, "PERMISSION_DENIED", "CONSUMER_SUSPENDED"), errors.ProviderCredentialsInvalid),
    (403, google(403, "PERMISSION_DENIED", "PROHIBITED_CONTENT"), errors.ContentBlocked),
    (404, google(404, "NOT_FOUND"), errors.ModelNotFound),
    (429, google(429, "RESOURCE_EXHAUSTED"), errors.ProviderRateLimited),
    (500, google(500, "INTERNAL"), errors.ProviderInternalError),
    (503, google(503, "UNAVAILABLE"), errors.ProviderOverloaded),
    (504, google(504, "DEADLINE_EXCEEDED"), errors.ProviderTimeout),
]


@pytest.mark.parametrize(
    ("make_wire", "rows"),
    [
        (chat_wire, OPENAI + COMPATIBLE),
        (responses_wire, OPENAI + COMPATIBLE),
        (anthropic_wire, CLAUDE),
        (gemini_wire, GEMINI),
    ],
    ids=["chat_completions", "responses", "anthropic", "gemini"],
)
def test_every_row_of_a_providers_table_of_errors_is_read(make_wire: Callable[[], Wire], rows: list[Row]) -> None:
    wire = make_wire()

    found = [(status, body, type(wire.error(status, {}, json.dumps(body).encode()))) for status, body, _ in rows]

    assert [row for row, expected in zip(found, rows, strict=True) if row[2] is not expected[2]] == []
