"""What a provider's refusal means: its status and its words, told apart once for all dialects of this family."""

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
from ...telemetry.redaction import cut, masked
from .json_codec import looks_like_html, mended, read_json
from .retry_after import advised, advised_in_words, retry_after

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
KEY_NAMES = ("invalid_api_key", "api_key_invalid", "authentication_error")
MODEL_NAMES = ("model_not_found", "model_not_exist", "unknown_model")

BY_STATUS: Mapping[int, type[GatewayError]] = {
    401: ProviderCredentialsInvalid,
    402: ProviderQuotaExhausted,
    403: ProviderCredentialsInvalid,
    404: ModelNotFound,
    408: ProviderTimeout,
    409: ProviderInternalError,
    413: PayloadTooLarge,
    425: ProviderInternalError,
    429: ProviderRateLimited,
    498: ProviderOverloaded,  # Groq: no flex capacity left
    499: ProviderInternalError,
    503: ProviderOverloaded,
    504: ProviderTimeout,
    524: ProviderTimeout,  # Cloudflare: the origin took too long
    529: ProviderOverloaded,
}
"""What a status means where the words add nothing; the rest of 4xx is a rejection, the rest of 5xx a failure."""

BY_NAME: Mapping[str, int] = {
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
"""The status that an error would have had, had it not come inside a 200."""

LONGEST_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Said:
    """What a provider said of an error, whatever its shape. `status` is 0 where the body names none.

    `wait` is for how many seconds it asks, None where it does not.
    """

    message: str
    type: str = ""
    code: str = ""
    status: int = 0
    wait: float | None = None

    @property
    def name(self) -> str:
        """Its own name for the cause: the code, unless that only repeats a status, else the type."""
        return self.code if self.code and not self.status else self.type

    def is_named(self, names: Iterable[str]) -> bool:
        """The code or the type is among these."""
        said = f"{self.code} {self.type}".lower()
        return any(name in said for name in names)

    def speaks_of(self, phrases: Iterable[str]) -> bool:
        """The message holds one of these. A message may repeat the prompt, so this alone proves little."""
        said = self.message.lower()
        return any(phrase in said for phrase in phrases)


def read_error(body: bytes) -> Said:
    """What the body of a refusal says: JSON of any known shape, a page, plain text, or nothing."""
    body = body[:LONGEST_READ].strip()
    if not body:
        return Said("no explanation was given")
    if looks_like_html(body):
        return Said("a web page came in place of an explanation", type="html")
    try:
        return said_of(read_json(body))
    except ValueError:
        return Said(body.decode("utf-8", "replace"))


def said_of(value: Any) -> Said:
    """What a parsed error says.

    >>> said_of({"error": {"message": "No.", "type": None, "code": 429}})
    Said(message='No.', type='', code='429', status=429, wait=None)
    >>> said_of({"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}).message
    'body.model: Field required'
    """
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return Said(_text(value) or "no explanation was given")
    inner = value.get("error")
    if isinstance(inner, dict):
        value = inner
    elif isinstance(inner, str):
        value = {**value, "message": inner}
    code = _text(value.get("code"))
    status = int(code) if len(code) == 3 and code.isdecimal() else 0
    message = _text(value.get("message")) or _detail(value.get("detail")) or "no explanation was given"
    return Said(mended(message), _text(value.get("type")), code, status, advised(value))


def fault_of(status: int, headers: Mapping[str, str], said: Said, now: datetime) -> GatewayError:
    """The fault that a refusal with this status means; its message still has to be freed of the key that was used."""
    kind = kind_of(status, said)
    advice = retry_after(headers, now)
    return kind(
        f"The provider answered {status}{_label(said)}: {masked(said.message, longest=LONGEST_READ)}",
        solution=_solution(kind, said),
        retry_after=_wait(kind, said) if advice is None else advice,
        upstream_status=status,
    )


def fault_inside(value: Any) -> GatewayError:
    """The fault that an error inside a 200 means, by the status it would have had."""
    said = said_of(value)
    status = said.status or BY_NAME.get(said.type.lower()) or BY_NAME.get(said.code.lower()) or 500
    message = masked(said.message, longest=LONGEST_READ)
    kind = kind_of(status, said)
    told = f"The provider answered with an error{_label(said)}: {message}"
    return kind(told, retry_after=_wait(kind, said), upstream_status=200)


def kind_of(status: int, said: Said) -> type[GatewayError]:
    """Which fault it is. The words decide where a status means several things, the status everywhere else."""
    if said.is_named(QUOTA_NAMES) or (status in (402, 403, 429) and said.speaks_of(QUOTA_PHRASES)):
        return ProviderQuotaExhausted
    if said.is_named(CONTEXT_NAMES) or (status in (400, 413, 422) and said.speaks_of(CONTEXT_PHRASES)):
        return ContextTooLong
    if said.is_named(POLICY_NAMES) or (status in (400, 403, 422) and said.speaks_of(POLICY_PHRASES)):
        return ContentBlocked
    if said.is_named(KEY_NAMES):
        return ProviderCredentialsInvalid
    if said.is_named(MODEL_NAMES):
        return ModelNotFound
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status >= 500:
        return ProviderInternalError
    return ProviderRejectedRequest if status >= 400 else ProviderProtocolError


def _wait(kind: type[GatewayError], said: Said) -> float | None:
    """The advice of the body. Words count only where they are about waiting: elsewhere they may repeat the prompt."""
    if kind not in (ProviderRateLimited, ProviderOverloaded):
        return None
    return advised_in_words(said.message) if said.wait is None else said.wait


def _label(said: Said) -> str:
    return f" ({cut(mended(said.name), 80)})" if said.name and said.name != "html" else ""


def _solution(kind: type[GatewayError], said: Said) -> str:
    if kind is ModelNotFound and said.type == "html":
        return "Check base_url: a web page answered where the provider's API was expected."
    return ""


def _detail(value: Any) -> str:
    if not isinstance(value, list):
        return _text(value)
    lines = []
    for item in value:
        if isinstance(item, dict):
            place = item.get("loc")
            where = ".".join(str(step) for step in place) if isinstance(place, list) else ""
            lines.append(": ".join(piece for piece in (where, _text(item.get("msg"))) if piece))
    return "; ".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
