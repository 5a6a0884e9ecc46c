"""Every way a call can fail: one class and one row each.

    Fault
    ├── the caller's      InvalidRequest · CapabilityUnsupported · PayloadTooLarge · ContextTooLong · ContentBlocked
    │                     Unauthenticated · Forbidden · MissingCredentials · UnknownProvider · ModelNotFound
    ├── a limit of ours   RateLimited · Overloaded
    ├── the provider's    ProviderRejected · CallerKeyRejected · ProviderAuth · ProviderQuota · ProviderRateLimited
    │                     ProviderTimeout · FirstTokenTimeout · ProviderFailed · ProviderOverloaded
    │                     ProviderUnreachable · ProviderUntrusted · ProviderProtocol · CircuitOpen
    │                     StreamInterrupted · SchemaMismatch
    └── nobody's          DeadlineExceeded · Internal

The row drives the gRPC code, the reason clients match on, retry, fallback, the breaker and `docs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal

from .attempts import AttemptRecord
from .usage import Cost, Usage

StatusCode = Literal[
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
]
FallbackRule = Literal["next", "larger", "never"]
BreakerEffect = Literal["ignore", "count", "open"]


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """What follows from a fault.

    `retry`: the same target may be asked again before the first content. `fallback`: which other target may be asked.
    `breaker`: whether the fault speaks against the provider. `resend`: a client may send the call again by itself.
    `solution`: what the reader can do next, for the case in general.
    """

    code: StatusCode
    reason: str
    solution: str
    retryable: bool = False
    fallback: FallbackRule = "never"
    breaker_effect: BreakerEffect = "ignore"
    client_may_retry: bool = False


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of the request that cannot be used: its path as in the proto, and what is wrong with it."""

    field: str
    description: str


class GatewayError(Exception):
    """A call failed. The message names the offending value and what would be accepted; it never holds a secret.

    `retry_after` is in seconds, None where nobody knows. `metadata` goes to the caller as it is.
    """

    spec: ClassVar[ErrorSpec]

    def __init__(
        self,
        message: str,
        *,
        solution: str = "",
        provider: str = "",
        model: str = "",
        retry_after: float | None = None,
        violations: tuple[FieldViolation, ...] = (),
        metadata: Mapping[str, str] = MappingProxyType({}),
        upstream_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.solution = solution or self.spec.solution
        self.provider = provider
        self.model = model
        self.retry_after = retry_after
        self.violations = violations
        self.metadata = metadata
        self.upstream_status = upstream_status
        self.attempts: tuple[AttemptRecord, ...] = ()
        self.usage: Usage | None = None
        self.cost: Cost | None = None

    @property
    def reason(self) -> str:
        """Stable name of the cause: ErrorInfo.reason, and the metric label."""
        return self.spec.reason


TRANSIENT = ErrorSpec("UNAVAILABLE", "", "", retryable=True, fallback="next", breaker_effect="count")
"""A fault of the provider's that can pass by itself."""


class InvalidRequest(GatewayError):
    """The request is not well formed; `fields` says where."""

    spec = ErrorSpec("INVALID_ARGUMENT", "INVALID_FIELD", "Correct the field and send the request again.")


class CapabilityUnsupported(GatewayError):
    """The model cannot do what the request needs; metadata `models` names some that can."""

    spec = ErrorSpec(
        "INVALID_ARGUMENT", "CAPABILITY_UNSUPPORTED", "Choose a model that can, or leave out what it cannot do."
    )


class PayloadTooLarge(GatewayError):
    """Too many bytes; metadata holds `limit` and `actual`."""

    spec = ErrorSpec("INVALID_ARGUMENT", "PAYLOAD_TOO_LARGE", "Send less, or have the operator raise the limit.")


class ContextTooLong(GatewayError):
    """The prompt does not fit the model's context window."""

    spec = ErrorSpec(
        "INVALID_ARGUMENT",
        "CONTEXT_TOO_LONG",
        "Shorten the conversation or choose a model with a larger context window.",
        fallback="larger",
    )


class ContentBlocked(GatewayError):
    """The provider's policy refuses the prompt."""

    spec = ErrorSpec(
        "INVALID_ARGUMENT", "CONTENT_BLOCKED", "Rephrase the prompt: the provider's usage policy blocked it."
    )


class Unauthenticated(GatewayError):
    """The gateway does not know the caller."""

    spec = ErrorSpec("UNAUTHENTICATED", "API_KEY_INVALID", "Send the gateway token as 'authorization: Bearer TOKEN'.")


class PermissionDenied(GatewayError):
    """The gateway knows the caller and says no."""

    spec = ErrorSpec("PERMISSION_DENIED", "ACCESS_DENIED", "Ask the operator of the gateway for access.")


class MissingCredentials(GatewayError):
    """Neither the caller nor the server has a key for the provider; metadata `envVar` names the variable."""

    spec = ErrorSpec(
        "FAILED_PRECONDITION", "MISSING_CREDENTIALS", "Give the server a key for the provider.", fallback="next"
    )


class ProviderNotFound(GatewayError):
    """No provider of that name; metadata `nearest` names similar ones."""

    spec = ErrorSpec("NOT_FOUND", "PROVIDER_NOT_FOUND", "Name a configured provider; ListModels shows them.")


class ModelNotFound(GatewayError):
    """No model of that name, or it was retired; metadata `nearest` or `replacement` names another."""

    spec = ErrorSpec("NOT_FOUND", "MODEL_NOT_FOUND", "Name a model that ListModels shows.", fallback="next")


class RateLimited(GatewayError):
    """The gateway's own limit; metadata holds `quota`, `limit` and `subject`."""

    spec = ErrorSpec(
        "RESOURCE_EXHAUSTED", "RATE_LIMITED", "Wait for the time given, or get a higher tier.", fallback="next"
    )


class Overloaded(GatewayError):
    """The gateway takes no more work for now, or is shutting down."""

    spec = ErrorSpec(
        "UNAVAILABLE",
        "OVERLOADED",
        "Send it again: another replica may take it.",
        fallback="next",
        client_may_retry=True,
    )


class ProviderRejectedRequest(GatewayError):
    """The provider finds the request wrong."""

    spec = ErrorSpec(
        "INVALID_ARGUMENT", "PROVIDER_REJECTED_REQUEST", "Change what the provider names in the message, then resend."
    )


class CallerKeyRejected(GatewayError):
    """The provider refuses the caller's own key: this caller's fault, nobody else's."""

    spec = ErrorSpec(
        "UNAUTHENTICATED", "PROVIDER_KEY_REJECTED", "Check the provider key given to the client: it was refused."
    )


class ProviderCredentialsInvalid(GatewayError):
    """The provider refuses the server's key."""

    spec = ErrorSpec(
        "FAILED_PRECONDITION",
        "PROVIDER_CREDENTIALS_INVALID",
        "The operator must replace the server's key for this provider.",
        fallback="next",
        breaker_effect="open",
    )


class ProviderQuotaExhausted(GatewayError):
    """The account at the provider is out of money or over its spend cap. Waiting does not help."""

    spec = ErrorSpec(
        "RESOURCE_EXHAUSTED",
        "PROVIDER_QUOTA_EXHAUSTED",
        "Add credit or raise the spend limit in the provider's console.",
        fallback="next",
        breaker_effect="open",
    )


class ProviderRateLimited(GatewayError):
    """The provider's rate limit."""

    spec = ErrorSpec(
        "RESOURCE_EXHAUSTED",
        "PROVIDER_RATE_LIMITED",
        "Wait for the time given, or spread the load.",
        retryable=True,
        fallback="next",
    )


class ProviderTimeout(GatewayError):
    """The provider gave up on the request."""

    spec = replace(TRANSIENT, reason="PROVIDER_TIMEOUT", solution="Try again later, or ask for a shorter answer.")


class FirstTokenTimeout(GatewayError):
    """The provider said nothing within our limit."""

    spec = ErrorSpec(
        "UNAVAILABLE",
        "FIRST_TOKEN_TIMEOUT",
        "Try again later, use another model, or allow more time.",
        fallback="next",
        breaker_effect="count",
    )


class ProviderInternalError(GatewayError):
    """The provider failed inside."""

    spec = replace(
        TRANSIENT, reason="PROVIDER_ERROR", solution="Try again later or use another model: this one failed."
    )


class ProviderOverloaded(GatewayError):
    """The provider has no capacity for now."""

    spec = replace(
        TRANSIENT, reason="PROVIDER_OVERLOADED", solution="Try again later or use another model: no capacity."
    )


class ProviderUnreachable(GatewayError):
    """No connection: DNS, refused, reset or a broken handshake."""

    spec = replace(
        TRANSIENT,
        reason="PROVIDER_UNREACHABLE",
        solution="Check base_url, DNS and the network between the server and the provider.",
    )


class ProviderUntrusted(GatewayError):
    """The provider's certificate is not valid for its name. Asking again changes nothing."""

    spec = ErrorSpec(
        "UNAVAILABLE",
        "PROVIDER_UNTRUSTED",
        "Check base_url and the certificate authorities of the server: the certificate was not accepted.",
        fallback="next",
        breaker_effect="count",
    )


class ProviderProtocolError(GatewayError):
    """The provider answered something that cannot be read: HTML, nothing, garbage, a cut before any content."""

    spec = replace(
        TRANSIENT,
        reason="PROVIDER_PROTOCOL",
        solution="Check base_url and wire: something other than the provider may have answered.",
    )


class CircuitOpen(GatewayError):
    """The provider failed too often and is left alone for `retry_after` seconds."""

    spec = ErrorSpec("UNAVAILABLE", "CIRCUIT_OPEN", "Wait for the time given or use another provider.", fallback="next")


class StreamInterrupted(GatewayError):
    """The answer was lost after its first content; `usage` says what was paid for so far."""

    spec = ErrorSpec(
        "ABORTED",
        "STREAM_INTERRUPTED",
        "Discard what was received and ask again: the answer is not complete.",
        fallback="next",
        breaker_effect="count",
    )


class OutputSchemaMismatch(GatewayError):
    """The answer misses its schema, after a repair too; metadata `path` says where, `usage` what was paid for."""

    spec = ErrorSpec("ABORTED", "OUTPUT_SCHEMA_MISMATCH", "Simplify the schema, or use a model that promises schemas.")


class DeadlineExceeded(GatewayError):
    """The time the caller or the server allows has passed."""

    spec = ErrorSpec("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "Allow more time, or ask for a shorter answer.")


class InternalError(GatewayError):
    """A bug of ours. The message says nothing of the cause; the log does, under the request id."""

    spec = ErrorSpec("INTERNAL", "INTERNAL_ERROR", "Report it with the request id: the server's log has the cause.")


def all_errors(root: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """Every fault that can reach a caller, in the order of the table."""
    for child in root.__subclasses__():
        yield child
        yield from all_errors(child)
