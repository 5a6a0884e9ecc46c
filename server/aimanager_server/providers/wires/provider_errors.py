"""Map the error responses of providers to gateway errors, by status and by error name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ...core.errors import (
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
from ...telemetry.redaction import redact, truncate
from .json_codec import decode_json, fix_surrogates, looks_like_html
from .retry_after import retry_after_from_body, retry_after_from_headers, retry_after_from_message

CONTEXT_NAMES = ("context_length_exceeded",)
CONTEXT_PHRASES = ("maximum context length", "context window", "prompt is too long", "input is too long")
POLICY_NAMES = (
    "content_policy_violation",
    "content_filter",
    "responsibleaipolicyviolation",
    "bio_policy",
    "misalignment_policy_violation",
)
POLICY_PHRASES = ("content exists risk", "content management policy")
QUOTA_NAMES = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_error",
    "billing_not_active",
    "insufficient_balance",
)
QUOTA_PHRASES = ("insufficient balance", "exceeded your current quota", "credit balance", "spend limit", "spend cap")
CREDENTIALS_NAMES = ("invalid_api_key", "api_key_invalid", "authentication_error")
MODEL_NAMES = ("model_not_found", "model_not_exist", "unknown_model")

ERRORS_BY_STATUS: Mapping[int, type[GatewayError]] = {
    401: ProviderCredentialsInvalid,
    402: ProviderQuotaExhausted,
    403: ProviderCredentialsInvalid,
    404: ModelNotFound,
    408: ProviderTimeout,
    409: ProviderInternalError,
    413: PayloadTooLarge,
    425: ProviderInternalError,
    429: ProviderRateLimited,
    498: ProviderOverloaded,  # Groq: flex capacity exceeded
    499: ProviderInternalError,
    503: ProviderOverloaded,
    504: ProviderTimeout,
    524: ProviderTimeout,  # Cloudflare: origin timeout
    529: ProviderOverloaded,
}
"""The error of a status if the body adds nothing. Other 4xx are rejected requests, other 5xx internal errors."""

STATUS_BY_NAME: Mapping[str, int] = {
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "permission_error": 403,
    "not_found_error": 404,
    "timeout_error": 504,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
    "overloaded": 529,
    "server_overloaded": 529,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
}
"""The HTTP status that corresponds to an error inside a 200 response."""

MAX_BODY_BYTES = 64 * 1024

NO_MESSAGE = "no message"


@dataclass(frozen=True, slots=True)
class ProviderErrorBody:
    """A provider's error, independent of its JSON shape.

    `status` is 0 if the body contains none. `retry_after` is in seconds, None if the body contains none.
    """

    message: str
    type: str = ""
    code: str = ""
    status: int = 0
    retry_after: float | None = None

    @property
    def name(self) -> str:
        """The provider's name for the cause: the code unless it repeats the status, else the type."""
        return self.code if self.code and not self.status else self.type

    def is_named_any_of(self, names: Iterable[str]) -> bool:
        """Return whether the code or the type contains one of the names."""
        own_names = f"{self.code} {self.type}".lower()
        return any(name in own_names for name in names)

    def mentions(self, phrases: Iterable[str]) -> bool:
        """Return whether the message contains one of the phrases. Messages may quote the prompt: weak evidence."""
        message = self.message.lower()
        return any(phrase in message for phrase in phrases)


def parse_error_body(body: bytes) -> ProviderErrorBody:
    """Parse the body of an error response: JSON of any known shape, HTML, plain text, or empty."""
    body = body[:MAX_BODY_BYTES].strip()
    if not body:
        return ProviderErrorBody(NO_MESSAGE)
    if looks_like_html(body):
        return ProviderErrorBody("an HTML page", type="html")
    try:
        return parse_error(decode_json(body))
    except ValueError:
        return ProviderErrorBody(body.decode("utf-8", "replace"))


def parse_error(value: Any) -> ProviderErrorBody:
    """Parse a decoded error.

    >>> parse_error({"error": {"message": "No.", "type": None, "code": 429}})
    ProviderErrorBody(message='No.', type='', code='429', status=429, retry_after=None)
    >>> parse_error({"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}).message
    'body.model: Field required'
    """
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return ProviderErrorBody(_text(value) or NO_MESSAGE)
    inner = value.get("error")
    if isinstance(inner, dict):
        value = inner
    elif isinstance(inner, str):
        value = {**value, "message": inner}
    code = _text(value.get("code"))
    status = int(code) if len(code) == 3 and code.isdecimal() else 0
    message = _text(value.get("message")) or _detail(value.get("detail")) or NO_MESSAGE
    return ProviderErrorBody(
        fix_surrogates(message), _text(value.get("type")), code, status, retry_after_from_body(value)
    )


def build_error(status: int, headers: Mapping[str, str], body: ProviderErrorBody, now: datetime) -> GatewayError:
    """Return the error for an unsuccessful response. The message may still contain the API key that was used."""
    error_type = classify_error(status, body)
    advice = retry_after_from_headers(headers, now)
    message = redact(body.message, max_length=MAX_BODY_BYTES)
    return error_type(
        f"The provider returned status {status}{_label(body)}: {message}",
        solution=_solution(error_type, body),
        retry_after=_retry_after(error_type, body) if advice is None else advice,
        upstream_status=status,
    )


def error_in_success(value: Any) -> GatewayError:
    """Return the error for an error object inside a 200 response, by the status it corresponds to."""
    body = parse_error(value)
    status = body.status or STATUS_BY_NAME.get(body.type.lower()) or STATUS_BY_NAME.get(body.code.lower()) or 500
    error_type = classify_error(status, body)
    message = f"The provider returned an error{_label(body)}: {redact(body.message, max_length=MAX_BODY_BYTES)}"
    return error_type(message, retry_after=_retry_after(error_type, body), upstream_status=200)


def classify_error(status: int, body: ProviderErrorBody) -> type[GatewayError]:
    """Return the error class. Names and phrases decide if a status is ambiguous; otherwise the status decides."""
    if body.is_named_any_of(QUOTA_NAMES) or (status in (402, 403, 429) and body.mentions(QUOTA_PHRASES)):
        return ProviderQuotaExhausted
    if body.is_named_any_of(CONTEXT_NAMES) or (status in (400, 413, 422) and body.mentions(CONTEXT_PHRASES)):
        return ContextTooLong
    if body.is_named_any_of(POLICY_NAMES) or (status in (400, 403, 422) and body.mentions(POLICY_PHRASES)):
        return ContentBlocked
    if body.is_named_any_of(CREDENTIALS_NAMES):
        return ProviderCredentialsInvalid
    if body.is_named_any_of(MODEL_NAMES):
        return ModelNotFound
    if status in ERRORS_BY_STATUS:
        return ERRORS_BY_STATUS[status]
    if status >= 500:
        return ProviderInternalError
    return ProviderRejectedRequest if status >= 400 else ProviderProtocolError


def _retry_after(error_type: type[GatewayError], body: ProviderErrorBody) -> float | None:
    """Return the delay in the body. Only rate limit and overload messages count; others may quote the prompt."""
    if error_type not in (ProviderRateLimited, ProviderOverloaded):
        return None
    return retry_after_from_message(body.message) if body.retry_after is None else body.retry_after


def _label(body: ProviderErrorBody) -> str:
    return f" ({truncate(fix_surrogates(body.name), 80)})" if body.name and body.name != "html" else ""


def _solution(error_type: type[GatewayError], body: ProviderErrorBody) -> str:
    if error_type is ModelNotFound and body.type == "html":
        return "Check base_url: the server returned an HTML page instead of an API response."
    return ""


def _detail(value: Any) -> str:
    if not isinstance(value, list):
        return _text(value)
    lines = []
    for item in value:
        if isinstance(item, dict):
            location = item.get("loc")
            path = ".".join(str(step) for step in location) if isinstance(location, list) else ""
            lines.append(": ".join(piece for piece in (path, _text(item.get("msg"))) if piece))
    return "; ".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
