"""Exceptions of the client. The class determines how to handle an error; `reason` identifies the cause.

AIError
├── ConfigurationError       fix the configuration of the client or the server
│   └── MissingCredentialsError
├── InvalidRequestError      fix the request
│   ├── InvalidModelError
│   └── InvalidProviderError
├── RateLimitError           retry after `retry_after` seconds
└── ProviderError            the provider failed or rejected the call
    ├── CircuitOpenError
    └── StreamInterruptedError
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from .types.usage import Attempt, Usage


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """An invalid parameter of the request: its name as the caller passed it, such as `max_tokens`, and the problem."""

    field: str
    description: str


class AIError(Exception):
    """A failed call. `str()` is the message; `solution` is the recommended action, which tracebacks show as a note.

    `reason` is a stable identifier to match on. `retry_after` is in seconds, None if unknown. `attempts` are the calls
    to providers, `usage` the tokens already billed, `context` further details from the server. An error never
    contains a key or a prompt.

    >>> error = RateLimitError("Rate limit exceeded. Retry after 2 seconds.", retry_after=2.0)
    >>> error.reason, error.retry_after
    ('RATE_LIMITED', 2.0)
    """

    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        solution: str = "",
        retry_after: float | None = None,
        provider: str = "",
        model: str = "",
        fields: tuple[FieldViolation, ...] = (),
        attempts: tuple[Attempt, ...] = (),
        context: Mapping[str, str] = MappingProxyType({}),
        request_id: str = "",
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.solution = solution
        self.retry_after = retry_after
        self.provider = provider
        self.model = model
        self.fields = fields
        self.attempts = attempts
        self.context = dict(context)
        self.request_id = request_id
        self.usage = usage
        if solution:
            self.add_note(f"Solution: {solution}")


class ConfigurationError(AIError):
    """A key, token, address or setting that the call needs is missing or invalid, in the client or the server."""

    default_reason = "CONFIGURATION_INVALID"


class MissingCredentialsError(ConfigurationError):
    """Neither the client nor the server has a key for the provider; `context["envVar"]` tells admins its variable."""

    default_reason = "MISSING_CREDENTIALS"


class InvalidRequestError(AIError):
    """The request is invalid; `fields` lists the parameters."""

    default_reason = "INVALID_FIELD"


class InvalidModelError(InvalidRequestError):
    """Unknown model; `context` may suggest another under `nearest` or `replacement`."""

    default_reason = "MODEL_NOT_FOUND"


class InvalidProviderError(InvalidRequestError):
    """Unknown provider; `context` may suggest another under `nearest`."""

    default_reason = "PROVIDER_NOT_FOUND"


class RateLimitError(AIError):
    """The rate limit of the gateway or the provider was exceeded. Retry after `retry_after` seconds."""

    default_reason = "RATE_LIMITED"


class ProviderError(AIError):
    """The provider failed or rejected the call."""

    default_reason = "PROVIDER_ERROR"


class CircuitOpenError(ProviderError):
    """The circuit breaker of the provider is open after repeated failures. Retry after `retry_after` seconds."""

    default_reason = "CIRCUIT_OPEN"


class StreamInterruptedError(ProviderError):
    """The stream failed after the first content: discard what was received. `usage` is what was billed so far."""

    default_reason = "STREAM_INTERRUPTED"


ERROR_CLASSES: Mapping[str, type[AIError]] = MappingProxyType(
    {
        "INVALID_FIELD": InvalidRequestError,
        "CAPABILITY_UNSUPPORTED": InvalidRequestError,
        "PAYLOAD_TOO_LARGE": InvalidRequestError,
        "CONTEXT_TOO_LONG": InvalidRequestError,
        "CONTENT_BLOCKED": InvalidRequestError,
        "MODEL_NOT_FOUND": InvalidModelError,
        "PROVIDER_NOT_FOUND": InvalidProviderError,
        "API_KEY_INVALID": ConfigurationError,
        "API_KEY_EXPIRED": ConfigurationError,
        "ACCESS_DENIED": ConfigurationError,
        "MISSING_CREDENTIALS": MissingCredentialsError,
        "LOOP_DETECTED": ConfigurationError,
        "RATE_LIMITED": RateLimitError,
        "PROVIDER_RATE_LIMITED": RateLimitError,
        "FIRST_TOKEN_TIMEOUT": ProviderError,
        "CIRCUIT_OPEN": CircuitOpenError,
        "STREAM_INTERRUPTED": StreamInterruptedError,
        "OUTPUT_SCHEMA_MISMATCH": ProviderError,
        "OVERLOADED": AIError,
        "DEADLINE_EXCEEDED": AIError,
        "INTERNAL_ERROR": AIError,
    }
)
"""Reason → class. Any other reason with the prefix PROVIDER_ is a ProviderError."""


def error_class(reason: str) -> type[AIError] | None:
    """Return the exception class for a reason, or None for an unknown reason.

    >>> error_class("PROVIDER_OVERLOADED").__name__
    'ProviderError'
    """
    if reason not in ERROR_CLASSES and reason.startswith("PROVIDER_"):
        return ProviderError
    return ERROR_CLASSES.get(reason)
