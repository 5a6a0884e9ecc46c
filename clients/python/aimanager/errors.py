"""Exceptions of the client. The class determines how to handle an error; `reason` identifies the cause.

AIError
├── ConfigurationError         fix the configuration of the client or the server
│   └── MissingCredentialsError
├── ConversationBusyError      another call adds to the conversation: retry when it has ended
├── ConnectionFailedError      the gateway cannot be reached; also a ConnectionError
├── DeadlineExceededError      the timeout passed; also a TimeoutError
├── InvalidRequestError        fix the request
│   ├── ConversationNotFoundError
│   ├── InvalidModelError
│   └── InvalidProviderError
├── RateLimitError             retry after `retry_after` seconds
├── ToolRoundsExceededError    `run` ended before the model stopped calling tools
└── ProviderError              the provider failed or rejected the call
    ├── CircuitOpenError
    └── StreamInterruptedError
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from .types.usage import Attempt, Usage
from .v1.content_pb2 import Message


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """An invalid parameter of the request: its name as the caller passed it, such as `max_tokens`, and the problem.

    >>> FieldViolation("max_tokens", "must be positive, got 0").field
    'max_tokens'
    """

    field: str
    description: str


class AIError(Exception):
    """A failed call. `str()` is the message; `solution` is the recommended action, which tracebacks show as a note.

    `reason` is a stable identifier to match on. `retry_after` is in seconds, None if unknown. `attempts` are the calls
    to providers, `usage` the tokens already billed, `original_error` the exception of gRPC or of a provider behind this
    one. `context` has the provider and the model, if known, and further details. An error never
    contains a key or a prompt.

    >>> error = AIError("No capacity.", "Retry later.", reason="OVERLOADED", region="eu")
    >>> str(error), error.solution, error.reason, error.context
    ('No capacity.', 'Retry later.', 'OVERLOADED', {'region': 'eu'})
    """

    default_reason: ClassVar[str] = "UNKNOWN"

    reason: str
    solution: str
    retry_after: float | None
    provider: str
    model: str
    fields: tuple[FieldViolation, ...]
    attempts: tuple[Attempt, ...]
    request_id: str
    usage: Usage | None
    original_error: BaseException | None
    context: dict[str, Any]

    def __init__(
        self,
        message: str,
        solution: str | None = None,
        *,
        reason: str = "",
        retry_after: float | None = None,
        provider: str = "",
        model: str = "",
        fields: tuple[FieldViolation, ...] = (),
        attempts: tuple[Attempt, ...] = (),
        request_id: str = "",
        usage: Usage | None = None,
        original_error: BaseException | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.solution = solution or ""
        self.retry_after = retry_after
        self.provider = provider
        self.model = model
        self.fields = fields
        self.attempts = attempts
        self.request_id = request_id
        self.usage = usage
        self.original_error = original_error
        named = {"provider": provider, "model": model}
        self.context = {name: value for name, value in named.items() if value} | context
        if solution:
            self.add_note(f"Solution: {solution}")

    @classmethod
    def build(
        cls, message: str, solution: str = "", *, context: Mapping[str, Any] | None = None, **details: Any
    ) -> Self:
        """Return an error of this class, whatever arguments its constructor takes. `details` are those of AIError.

        >>> ProviderError.build("Overloaded.", reason="PROVIDER_OVERLOADED", provider="claude").provider
        'claude'
        """
        error = cls.__new__(cls, message)
        AIError.__init__(error, message, solution, **details)
        error.context |= context or {}
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        # A subclass's constructor takes other arguments. Errors of gRPC cannot be pickled.
        context = {name: value for name, value in self.context.items() if name != "original_error"}
        return _restore, (type(self), str(self)), {**self.__dict__, "original_error": None, "context": context}


def _restore(kind: type[AIError], message: str) -> AIError:
    return kind.build(message)


class ConfigurationError(AIError):
    """A key, token, address or setting that the call needs is missing or invalid, in the client or the server.

    >>> ConfigurationError("No key.", "Pass one.").reason
    'CONFIGURATION_INVALID'
    """

    default_reason = "CONFIGURATION_INVALID"


class MissingCredentialsError(ConfigurationError):
    """Neither the client nor the server has a key for the provider; `context["env_var"]` tells admins its variable.

    >>> MissingCredentialsError("claude", "ANTHROPIC_API_KEY").context["env_var"]
    'ANTHROPIC_API_KEY'
    """

    default_reason = "MISSING_CREDENTIALS"

    def __init__(self, provider: str, required_env_var: str) -> None:
        super().__init__(
            f"Missing API key for {provider}",
            f"Set the {required_env_var} environment variable of the server, or pass api_key to AIManager.",
            provider=provider,
            env_var=required_env_var,
        )


class ConnectionFailedError(AIError, ConnectionError):
    """The gateway cannot be reached, or the connection was lost before an answer. `except ConnectionError` catches it.

    >>> isinstance(ConnectionFailedError("Connection refused."), ConnectionError)
    True
    """

    default_reason = "UNAVAILABLE"


class DeadlineExceededError(AIError, TimeoutError):
    """The timeout of the call passed. `except TimeoutError` catches it.

    >>> isinstance(DeadlineExceededError("No answer within 10 s."), TimeoutError)
    True
    """

    default_reason = "DEADLINE_EXCEEDED"


class InvalidRequestError(AIError):
    """The request is invalid; `fields` lists the parameters.

    >>> InvalidRequestError("Bad.", fields=(FieldViolation("top_k", "must be positive"),)).fields[0].field
    'top_k'
    """

    default_reason = "INVALID_FIELD"


class InvalidModelError(InvalidRequestError):
    """Unknown model; `context` may suggest another under `nearest` or `replacement`.

    >>> InvalidModelError("Unknown model 'claude/fasst'.", nearest="claude/fast").context["nearest"]
    'claude/fast'
    """

    default_reason = "MODEL_NOT_FOUND"


class InvalidProviderError(InvalidRequestError):
    """Unknown provider; `context` may suggest another under `nearest`.

    >>> InvalidProviderError("Unknown provider 'cluade'.", nearest="claude").context["nearest"]
    'claude'
    """

    default_reason = "PROVIDER_NOT_FOUND"


class ConversationNotFoundError(InvalidRequestError):
    """The conversation does not exist, was deleted, has expired or belongs to another caller.

    >>> ConversationNotFoundError("No conversation 'conv_1'.").reason
    'CONVERSATION_NOT_FOUND'
    """

    default_reason = "CONVERSATION_NOT_FOUND"


class ConversationBusyError(AIError):
    """Another call adds to the conversation. Nothing was generated or added; the client does not retry it.

    >>> ConversationBusyError("The conversation is busy.", "Retry when its call has ended.").reason
    'CONVERSATION_BUSY'
    """

    default_reason = "CONVERSATION_BUSY"


class RateLimitError(AIError):
    """The rate limit of the gateway or the provider was exceeded. Retry after `retry_after` seconds.

    >>> error = RateLimitError("claude", "Rate limit exceeded. Retry after 2 seconds.", retry_after=2.0)
    >>> error.provider, error.retry_after
    ('claude', 2.0)
    """

    default_reason = "RATE_LIMITED"

    def __init__(
        self, provider: str, message: str = "Rate limit exceeded", retry_after: float | None = None, **details: Any
    ) -> None:
        super().__init__(message, provider=provider, retry_after=retry_after, **details)


class ToolRoundsExceededError(AIError):
    """`run` reached its limit of rounds, and the model still called tools. `messages` is the conversation so far.

    >>> ToolRoundsExceededError("The model called tools in 10 rounds.").messages
    ()
    """

    default_reason = "TOOL_ROUNDS_EXCEEDED"
    messages: tuple[Message, ...] = ()


class ProviderError(AIError):
    """The provider failed or rejected the call.

    >>> str(ProviderError("claude", ValueError("no content")))
    "Provider 'claude' error: no content"
    """

    default_reason = "PROVIDER_ERROR"

    def __init__(self, provider: str, original_error: BaseException, **details: Any) -> None:
        details.setdefault("solution", "Retry later, or use another model.")
        super().__init__(
            f"Provider {provider!r} error: {original_error}",
            provider=provider,
            original_error=original_error,
            **details,
        )
        self.context["original_error"] = original_error


class CircuitOpenError(ProviderError):
    """The circuit breaker of the provider is open after repeated failures. Retry after `retry_after` seconds.

    >>> CircuitOpenError.build("Circuit breaker open for provider 'claude'.", retry_after=5.0).retry_after
    5.0
    """

    default_reason = "CIRCUIT_OPEN"


class StreamInterruptedError(ProviderError):
    """The stream failed after the first content: discard what was received. `usage` is what was billed so far.

    >>> StreamInterruptedError.build("The stream was interrupted.").reason
    'STREAM_INTERRUPTED'
    """

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
        "CONVERSATION_NOT_FOUND": ConversationNotFoundError,
        "CONVERSATION_BUSY": ConversationBusyError,
        "STORAGE_UNAVAILABLE": AIError,
        "OVERLOADED": AIError,
        "DEADLINE_EXCEEDED": DeadlineExceededError,
        "EXTENSION_FAILED": AIError,
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


def closed_error() -> ConfigurationError:
    """Return the error of a call on a closed client."""
    return ConfigurationError(
        "The client is closed.", solution="Create a new client, or close this one after its last call."
    )
