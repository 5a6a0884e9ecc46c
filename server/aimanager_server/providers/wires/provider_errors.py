"""Map the error responses of providers to gateway errors, by status and by error name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    ProviderModelDenied,
    ProviderOverloaded,
    ProviderPermissionDenied,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    ProviderTimeout,
)
from ...core.provider_state import ProviderStateRejected
from ...telemetry.redaction import redact, truncate
from .error_words import (
    CONTEXT_NAMES,
    CONTEXT_PHRASES,
    CREDENTIALS_BEGINNING,
    CREDENTIALS_NAMES,
    FORBIDDEN_CREDENTIALS_NAMES,
    MODEL_DENIED_NAMES,
    MODEL_DENIED_PHRASES,
    MODEL_NAMES,
    MODEL_PHRASES,
    POLICY_NAMES,
    POLICY_PHRASES,
    QUOTA_NAMES,
    QUOTA_PHRASES,
    STATE_NAMES,
    STATE_PHRASES,
    is_about_credentials,
)
from .json_codec import decode_json, fix_surrogates, looks_like_html, object_field
from .retry_after import retry_after_from_body, retry_after_from_headers, retry_after_from_message

ERRORS_BY_STATUS: Mapping[int, type[GatewayError]] = {
    401: ProviderCredentialsInvalid,
    402: ProviderQuotaExhausted,
    403: ProviderPermissionDenied,
    404: ModelNotFound,
    408: ProviderTimeout,
    409: ProviderInternalError,
    410: ModelNotFound,
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
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "conflict_error": 409,
    "timeout_error": 504,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "overloaded_error": 529,
    "overloaded": 529,
    "slow_down": 503,
    "server_overloaded": 529,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
}
"""The HTTP status that corresponds to an error inside a 200 response."""

MAX_BODY_BYTES = 64 * 1024
MAX_MESSAGE_LENGTH = 4096
"""Longer messages are cut before anything is searched in them."""

MAX_NAME_LENGTH = 200

NO_MESSAGE = "no message"


@dataclass(frozen=True, slots=True)
class ProviderErrorBody:
    """A provider's error, independent of its JSON shape.

    `status` is 0 if the body contains none. `retry_after` is in seconds, None if the body contains none. `is_flagged`:
    the body lists what a moderation objected to.
    """

    message: str
    type: str = ""
    code: str = ""
    status: int = 0
    retry_after: float | None = None
    is_flagged: bool = False

    @property
    def name(self) -> str:
        """The provider's name for the cause: the code unless it repeats the status, else the type."""
        return self.code if self.code and not self.status else self.type

    def is_named_any_of(self, names: Iterable[str]) -> bool:
        """Return whether the code or the type contains one of the names."""
        own_names = self._names
        return any(name in own_names for name in names)

    @property
    def advised_delay(self) -> float | None:
        """Return the delay in seconds that the body or its message advises."""
        return retry_after_from_message(self.message) if self.retry_after is None else self.retry_after

    @property
    def names_unknown_model(self) -> bool:
        """Whether the code or the type says that the model does not exist."""
        return MODEL_NAMES.search(self._names) is not None

    @property
    def _names(self) -> str:
        return f"{self.code} {self.type}".lower()

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
        return parse_error(decode_json(_event_data(body) or body))
    except ValueError:
        return ProviderErrorBody(body.decode("utf-8", "replace")[:MAX_MESSAGE_LENGTH])


def _event_data(body: bytes) -> bytes:
    """Return the data of the first event of a body of server-sent events; empty for any other body."""
    if not body.startswith((b"event:", b"data:", b"id:", b":")):
        return b""
    event = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = (line.partition(b":") for block in event.split(b"\n\n") for line in block.split(b"\n"))
    return next((value.strip() for field, _, value in lines if field == b"data"), b"")


def parse_error(value: Any) -> ProviderErrorBody:
    """Parse a decoded error.

    >>> parse_error({"error": {"message": "No.", "type": None, "code": 429}})
    ProviderErrorBody(message='No.', type='', code='429', status=429, retry_after=None, is_flagged=False)
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
    code = _text(value.get("code"))[:MAX_NAME_LENGTH]
    status = int(code) if len(code) == 3 and code.isdecimal() else 0
    message = _text(value.get("message")) or _detail(value.get("detail")) or NO_MESSAGE
    kind = (_text(value.get("type")) or _text(value.get("status")))[:MAX_NAME_LENGTH]
    metadata = object_field(value, "metadata")
    return ProviderErrorBody(
        fix_surrogates(message[:MAX_MESSAGE_LENGTH]),
        kind,
        code,
        status,
        retry_after_from_body(value),
        is_flagged="flagged_input" in metadata or bool(metadata.get("reasons")),
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
    """Return the error class. Names and words decide if a status is ambiguous; otherwise the status decides."""
    for applies, error_type in RULES:
        if applies(status, body):
            return error_type
    if status in ERRORS_BY_STATUS:
        return ERRORS_BY_STATUS[status]
    if status >= 500:
        return ProviderInternalError
    return ProviderRejectedRequest if status >= 400 else ProviderProtocolError


def _is_state_rejected(status: int, body: ProviderErrorBody) -> bool:
    is_named = body.is_named_any_of(STATE_NAMES)
    return is_named or (status in (400, 404) and STATE_PHRASES.search(body.message.lower()) is not None)


def _is_context_too_long(status: int, body: ProviderErrorBody) -> bool:
    is_named = body.is_named_any_of(CONTEXT_NAMES)
    return is_named or (status in (400, 413, 422) and body.mentions(CONTEXT_PHRASES))


def _is_content_refusal(status: int, body: ProviderErrorBody) -> bool:
    is_named = body.is_flagged or body.is_named_any_of(POLICY_NAMES)
    return is_named or (status in (400, 403, 422) and body.mentions(POLICY_PHRASES))


def _is_account_spent(status: int, body: ProviderErrorBody) -> bool:
    if body.is_named_any_of(QUOTA_NAMES):
        return True
    if status not in (402, 403, 429) or not body.mentions(QUOTA_PHRASES):
        return False
    # Google uses the words of a spent account for a limit per minute as well, and then says when to retry.
    is_rate_limit = body.is_named_any_of(("resource_exhausted",)) or body.mentions(("resource_exhausted",))
    return not (status == 429 and is_rate_limit and body.advised_delay is not None)


def _is_model_denied(status: int, body: ProviderErrorBody) -> bool:
    if body.is_named_any_of(MODEL_DENIED_NAMES):
        return True
    if status == 401:
        return body.mentions(("allowed to access model",))
    return status == 403 and MODEL_DENIED_PHRASES.search(body.message.lower()) is not None


def _is_model_unknown(status: int, body: ProviderErrorBody) -> bool:
    if body.names_unknown_model:
        return True
    return status in (400, 404, 422) and MODEL_PHRASES.search(body.message.lower()) is not None


def _is_key_refused(status: int, body: ProviderErrorBody) -> bool:
    if body.is_named_any_of(CREDENTIALS_NAMES):
        return True
    if status == 400:
        return body.message.lower().startswith(CREDENTIALS_BEGINNING)
    return status == 403 and (body.is_named_any_of(FORBIDDEN_CREDENTIALS_NAMES) or is_about_credentials(body.message))


def _is_rate_limit_of_tokens(status: int, body: ProviderErrorBody) -> bool:
    """Groq answers 413 to a request of more tokens than its limit per minute."""
    return status == 413 and body.is_named_any_of(("rate_limit_exceeded",))


RULES: tuple[tuple[Callable[[int, ProviderErrorBody], bool], type[GatewayError]], ...] = (
    (_is_state_rejected, ProviderStateRejected),
    (_is_context_too_long, ContextTooLong),
    (_is_content_refusal, ContentBlocked),
    (_is_account_spent, ProviderQuotaExhausted),
    (_is_model_denied, ProviderModelDenied),
    (_is_model_unknown, ModelNotFound),
    (_is_key_refused, ProviderCredentialsInvalid),
    (_is_rate_limit_of_tokens, ProviderRateLimited),
)
"""What decides before the status, in this order: a refusal for the content may mention keys, models and credit."""


def _retry_after(error_type: type[GatewayError], body: ProviderErrorBody) -> float | None:
    """Return the delay in the body. Only rate limit and overload messages count; others may quote the prompt."""
    if error_type not in (ProviderRateLimited, ProviderOverloaded):
        return None
    return body.advised_delay


def _label(body: ProviderErrorBody) -> str:
    return f" ({truncate(fix_surrogates(body.name), 80)})" if body.name and body.name != "html" else ""


def _solution(error_type: type[GatewayError], body: ProviderErrorBody) -> str:
    if error_type is not ModelNotFound:
        return ""
    if body.type == "html":
        return "Check base_url: the server returned an HTML page instead of an API response."
    if not body.mentions(("model", "deployment")) and not body.names_unknown_model:
        return "Check base_url: the server has no such path, or use a model that ListModels returns."
    return ""


def _detail(value: Any) -> str:
    if isinstance(value, dict):
        return _text(value.get("error")) or _text(value.get("message"))
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
