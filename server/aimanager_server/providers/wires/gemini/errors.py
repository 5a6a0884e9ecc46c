"""Map the errors of the Gemini API, whose cause and retry delay are in the error details."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ....core.errors import GatewayError, ProviderQuotaExhausted, ProviderRateLimited
from ....telemetry.redaction import redact, truncate
from ..json_codec import decode_json, object_field, object_list_field
from ..provider_errors import MAX_BODY_BYTES, ProviderErrorBody, classify_error, parse_error, parse_error_body
from ..retry_after import retry_after_from_details, retry_after_from_headers

QUOTA_PHRASES = ("spend limit", "spending cap", "spend cap", "prepay", "credits are depleted", "credit balance")


def error_from_response(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayError:
    """Return the error for an unsuccessful response. Header names are in lower case."""
    try:
        value = decode_json(body[:MAX_BODY_BYTES].strip())
    except ValueError:
        value = None
    details = _error_object(value)
    error_body = _parse(value, details) if details else parse_error_body(body)
    advice = retry_after_from_headers(headers, now)
    return _build(status, error_body, details, retry_after_from_details(details) if advice is None else advice, status)


def error_in_success(value: Any) -> GatewayError:
    """Return the error for an error object inside a 200 response, by the status it corresponds to."""
    details = _error_object(value)
    error_body = _parse(value, details)
    return _build(error_body.status or 500, error_body, details, retry_after_from_details(details), 200)


def _build(
    status: int, body: ProviderErrorBody, error: Mapping[str, Any], retry_after: float | None, upstream_status: int
) -> GatewayError:
    label = body.code if body.code and not body.code.isdigit() else body.type
    name = f" ({truncate(label, 80)})" if label else ""
    message = f"The provider returned status {status}{name}: {redact(body.message, max_length=MAX_BODY_BYTES)}"
    error_type = _classify(status, body, error, retry_after)
    return error_type(message, retry_after=retry_after, upstream_status=upstream_status)


def _classify(
    status: int, body: ProviderErrorBody, error: Mapping[str, Any], retry_after: float | None
) -> type[GatewayError]:
    if status == 429:
        # "exceeded your current quota" is used for both the per-minute and the per-day quota.
        is_exhausted = _is_daily_quota(error) or (retry_after is None and body.mentions(QUOTA_PHRASES))
        return ProviderQuotaExhausted if is_exhausted else ProviderRateLimited
    return classify_error(status, body)


def _error_object(value: Any) -> Mapping[str, Any]:
    """Return the error object, which a stream without SSE wraps in a list; empty if there is none."""
    if isinstance(value, list) and value:
        value = value[0]
    return object_field(value, "error")


def _parse(value: Any, error: Mapping[str, Any]) -> ProviderErrorBody:
    """Parse the error with its most specific name: the reason in the details, else the status name."""
    body = parse_error(value)
    reasons = [detail["reason"] for detail in _details(error) if isinstance(detail.get("reason"), str)]
    status = error.get("status")
    name = status if isinstance(status, str) else body.type
    return ProviderErrorBody(body.message, type=name, code=reasons[0] if reasons else "", status=body.status)


def _is_daily_quota(error: Mapping[str, Any]) -> bool:
    """Return whether a daily quota is exhausted. Its RetryInfo is too short to be useful."""
    violations = (violation for detail in _details(error) for violation in object_list_field(detail, "violations"))
    return any("PerDay" in str(violation.get("quotaId", "")) for violation in violations)


def _details(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return object_list_field(error, "details")
