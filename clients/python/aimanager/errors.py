"""The exceptions of the client: one class for what a caller does about it, one reason for what happened.

AIError
├── ConfigurationError       the client or the server is not set up for the call
│   └── MissingCredentialsError
├── InvalidRequestError      the request has to change
│   ├── InvalidModelError
│   └── InvalidProviderError
├── RateLimitError           wait `retry_after` seconds
└── ProviderError            the provider failed
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
    """One field of the request that cannot be used: its path as in the proto, and what is wrong with it."""

    field: str
    description: str


class AIError(Exception):
    """A call failed. `str()` is the message; `solution` says what to do and is shown in tracebacks.

    `reason` is a stable name to match on. `retry_after` is in seconds, None where nobody knows. `attempts` are the
    tries at providers, `usage` the tokens already paid for, `context` whatever else the server told. Nothing here ever
    holds a key or a prompt.

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
    """The client or the server is not set up for this: a key, a token, an address or a switch."""

    default_reason = "CONFIGURATION_INVALID"


class MissingCredentialsError(ConfigurationError):
    """Neither the client nor the server has a key for the provider; context `envVar` names the server's variable."""

    default_reason = "MISSING_CREDENTIALS"


class InvalidRequestError(AIError):
    """The request has to change before it is sent again; `fields` says where."""

    default_reason = "INVALID_FIELD"


class InvalidModelError(InvalidRequestError):
    """No model of that name; context `nearest` or `replacement` may name another."""

    default_reason = "MODEL_NOT_FOUND"


class InvalidProviderError(InvalidRequestError):
    """No provider of that name; context `nearest` may name another."""

    default_reason = "PROVIDER_NOT_FOUND"


class RateLimitError(AIError):
    """The gateway's or the provider's rate limit: wait `retry_after` seconds."""

    default_reason = "RATE_LIMITED"


class ProviderError(AIError):
    """The provider failed, or refused the call."""

    default_reason = "PROVIDER_ERROR"


class CircuitOpenError(ProviderError):
    """The provider failed too often and is left alone for `retry_after` seconds."""

    default_reason = "CIRCUIT_OPEN"


class StreamInterruptedError(ProviderError):
    """The answer was lost after it began: discard what was received. `usage` is what was paid for so far."""

    default_reason = "STREAM_INTERRUPTED"


CLASSES: Mapping[str, type[AIError]] = MappingProxyType(
    {
        "INVALID_FIELD": InvalidRequestError,
        "CAPABILITY_UNSUPPORTED": InvalidRequestError,
        "PAYLOAD_TOO_LARGE": InvalidRequestError,
        "CONTEXT_TOO_LONG": InvalidRequestError,
        "CONTENT_BLOCKED": InvalidRequestError,
        "MODEL_NOT_FOUND": InvalidModelError,
        "PROVIDER_NOT_FOUND": InvalidProviderError,
        "API_KEY_INVALID": ConfigurationError,
        "ACCESS_DENIED": ConfigurationError,
        "MISSING_CREDENTIALS": MissingCredentialsError,
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
"""Reason → class. A reason that is not listed and begins with PROVIDER_ is a ProviderError."""


def class_of(reason: str) -> type[AIError] | None:
    """The exception for a reason; None for one this client does not know.

    >>> class_of("PROVIDER_OVERLOADED").__name__
    'ProviderError'
    """
    if reason not in CLASSES and reason.startswith("PROVIDER_"):
        return ProviderError
    return CLASSES.get(reason)
