"""Every error of a call: one class with one `ErrorSpec` each.

    GatewayError
    ├── request           InvalidRequest · CapabilityUnsupported · PayloadTooLarge · ContextTooLong · ContentBlocked
    │                     Unauthenticated · TokenExpired · PermissionDenied · MissingCredentials · ProviderNotFound
    │                     ModelNotFound · LoopDetected · ConversationNotFound · ConversationBusy
    ├── gateway limits    RateLimited · Overloaded · CircuitOpen
    ├── provider          ProviderRejectedRequest · ProviderPermissionDenied · ProviderModelDenied · CallerKeyRejected
    │                     ProviderCredentialsInvalid · ProviderQuotaExhausted · ProviderRateLimited · ProviderTimeout
    │                     FirstTokenTimeout · ProviderInternalError · ProviderOverloaded · ProviderUnreachable
    │                     ProviderUntrusted · ProviderProtocolError · StreamInterrupted · OutputSchemaMismatch
    └── gateway           DeadlineExceeded · StorageUnavailable · ExtensionFailed · InternalError

The spec determines the gRPC code, the reason clients match on, retry, fallback and the effect on the circuit breaker.
`docs/errors.md` is generated from this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .error_spec import ErrorSpec
from .gateway_error import FieldViolation as FieldViolation
from .gateway_error import GatewayError as GatewayError

if TYPE_CHECKING:
    from .request import Repair


TRANSIENT = ErrorSpec("UNAVAILABLE", "", "", retryable=True, fallback="next", breaker_effect="count")
"""Spec of transient provider errors."""


class InvalidRequest(GatewayError):
    """The request has invalid fields; the error details list them."""

    spec = ErrorSpec("INVALID_ARGUMENT", "INVALID_FIELD", "Fix the fields listed in the error details.")


class CapabilityUnsupported(GatewayError):
    """The model does not support what the request requires; metadata `models` names models that do."""

    spec = ErrorSpec(
        "INVALID_ARGUMENT",
        "CAPABILITY_UNSUPPORTED",
        "Use a model that supports the request, or remove the unsupported fields.",
    )


class PayloadTooLarge(GatewayError):
    """The request exceeds a size limit; metadata `limit` and `actual` are in bytes."""

    spec = ErrorSpec("INVALID_ARGUMENT", "PAYLOAD_TOO_LARGE", "Send less data, or ask the operator to raise the limit.")


class ContextTooLong(GatewayError):
    """The prompt exceeds the model's context window."""

    spec = ErrorSpec(
        "INVALID_ARGUMENT",
        "CONTEXT_TOO_LONG",
        "Shorten the conversation, or use a model with a larger context window.",
        fallback="larger",
    )


class ContentBlocked(GatewayError):
    """The provider's usage policy blocked the prompt, or a safety filter of the gateway, named in metadata `filter`."""

    spec = ErrorSpec(
        "INVALID_ARGUMENT", "CONTENT_BLOCKED", "Change the prompt to comply with the provider's usage policy."
    )


class Unauthenticated(GatewayError):
    """The gateway token is missing or invalid."""

    spec = ErrorSpec("UNAUTHENTICATED", "API_KEY_INVALID", "Send the gateway token as 'authorization: Bearer TOKEN'.")


class TokenExpired(Unauthenticated):
    """The gateway token was valid until it expired."""

    spec = ErrorSpec("UNAUTHENTICATED", "API_KEY_EXPIRED", "Ask the operator of the gateway for a new token.")


class PermissionDenied(GatewayError):
    """The caller is authenticated but lacks the permission."""

    spec = ErrorSpec("PERMISSION_DENIED", "ACCESS_DENIED", "Ask the operator of the gateway for access.")


class MissingCredentials(GatewayError):
    """Neither the caller nor the server has an API key for the provider; metadata `envVar` tells admins its name."""

    spec = ErrorSpec(
        "FAILED_PRECONDITION",
        "MISSING_CREDENTIALS",
        "Configure an API key for the provider on the server.",
        fallback="next",
    )


class LoopDetected(GatewayError):
    """The call has passed this gateway before, or too many gateways; metadata `hops` is their number."""

    spec = ErrorSpec(
        "FAILED_PRECONDITION",
        "LOOP_DETECTED",
        "The operator must correct the base_url, or the plug-in, that leads back to a gateway.",
    )


class ProviderNotFound(GatewayError):
    """The provider does not exist or is disabled; metadata `nearest` names similar ones."""

    spec = ErrorSpec("NOT_FOUND", "PROVIDER_NOT_FOUND", "Use a provider that ListModels returns.")


class ModelNotFound(GatewayError):
    """The model does not exist or was retired; metadata `nearest` or `replacement` names others."""

    spec = ErrorSpec("NOT_FOUND", "MODEL_NOT_FOUND", "Use a model that ListModels returns.", fallback="next")


class ConversationNotFound(GatewayError):
    """The conversation does not exist, has expired, or belongs to another caller."""

    spec = ErrorSpec("NOT_FOUND", "CONVERSATION_NOT_FOUND", "Use a conversation that ListConversations returns.")


class ConversationBusy(GatewayError):
    """Another call is adding a turn to the conversation, or has added one since its history was read."""

    spec = ErrorSpec("ABORTED", "CONVERSATION_BUSY", "Wait until the other call has ended, then repeat this one.")


class StorageUnavailable(GatewayError):
    """The database of conversations cannot be reached. The cause is in the log, under the request id."""

    spec = ErrorSpec(
        "UNAVAILABLE",
        "STORAGE_UNAVAILABLE",
        "Retry later; the operator must check the database with 'aimanager-server storage check'.",
    )


class RateLimited(GatewayError):
    """The caller exceeded a quota of the gateway; metadata holds `quota`, `limit` and `subject`."""

    spec = ErrorSpec(
        "RESOURCE_EXHAUSTED",
        "RATE_LIMITED",
        "Retry after the indicated delay, or ask the operator for a higher tier.",
        fallback="next",
    )


class Overloaded(GatewayError):
    """The gateway rejects new calls because it is overloaded or shutting down."""

    spec = ErrorSpec(
        "UNAVAILABLE",
        "OVERLOADED",
        "Retry: another replica may have capacity.",
        fallback="next",
        client_may_retry=True,
    )


class ProviderRejectedRequest(GatewayError):
    """The provider rejected the request as invalid."""

    spec = ErrorSpec("INVALID_ARGUMENT", "PROVIDER_REJECTED_REQUEST", "Fix the problem that the message describes.")


class ProviderPermissionDenied(GatewayError):
    """The provider refused this request (status 403), but neither its API key nor its model as far as it says."""

    spec = ErrorSpec("FAILED_PRECONDITION", "PROVIDER_PERMISSION_DENIED", "Check what the account and its key may do.")


class ProviderModelDenied(GatewayError):
    """The API key may not use this model of the provider; other models are not affected."""

    spec = ErrorSpec(
        "FAILED_PRECONDITION", "PROVIDER_MODEL_DENIED", "Grant the API key access to the model, or use another model.",
        fallback="next", breaker_effect="open_model",
    )  # fmt: skip


class CallerKeyRejected(GatewayError):
    """The provider rejected the API key that the caller sent. Other callers are not affected."""

    spec = ErrorSpec("UNAUTHENTICATED", "PROVIDER_KEY_REJECTED", "Check the provider API key that the client sends.")


class ProviderCredentialsInvalid(GatewayError):
    """The provider rejected the server's API key."""

    spec = ErrorSpec(
        "FAILED_PRECONDITION",
        "PROVIDER_CREDENTIALS_INVALID",
        "The operator must replace the server's API key for this provider.",
        fallback="next",
        breaker_effect="open",
    )


class ProviderQuotaExhausted(GatewayError):
    """The account at the provider has no credit left or reached its spend limit. Retrying does not help."""

    spec = ErrorSpec(
        "RESOURCE_EXHAUSTED",
        "PROVIDER_QUOTA_EXHAUSTED",
        "Add credit, or raise the spend limit in the provider's console.",
        fallback="next",
        breaker_effect="open",
    )


class ProviderRateLimited(GatewayError):
    """The provider's rate limit was exceeded."""

    spec = ErrorSpec(
        "RESOURCE_EXHAUSTED",
        "PROVIDER_RATE_LIMITED",
        "Retry after the indicated delay, or spread the load over more keys or providers.",
        retryable=True,
        fallback="next",
    )


class ProviderTimeout(GatewayError):
    """The provider reported that it timed out."""

    spec = replace(TRANSIENT, reason="PROVIDER_TIMEOUT", solution="Retry later, or request a shorter answer.")


class FirstTokenTimeout(GatewayError):
    """The provider sent no content within the first-token timeout."""

    spec = ErrorSpec(
        "UNAVAILABLE",
        "FIRST_TOKEN_TIMEOUT",
        "Retry later, use another model, or increase the first-token timeout.",
        fallback="next",
        breaker_effect="count",
    )


class ProviderInternalError(GatewayError):
    """The provider reported an internal error."""

    spec = replace(TRANSIENT, reason="PROVIDER_ERROR", solution="Retry later, or use another model.")


class ProviderOverloaded(GatewayError):
    """The provider reported that it is overloaded."""

    spec = replace(TRANSIENT, reason="PROVIDER_OVERLOADED", solution="Retry later, or use another model.")


class ProviderUnreachable(GatewayError):
    """The connection to the provider failed: DNS error, refused, reset or failed handshake."""

    spec = replace(
        TRANSIENT,
        reason="PROVIDER_UNREACHABLE",
        solution="Check base_url, DNS and the network between the server and the provider.",
    )


class ProviderUntrusted(GatewayError):
    """The provider's TLS certificate is not trusted or not valid for its host. Retrying does not help."""

    spec = ErrorSpec(
        "UNAVAILABLE",
        "PROVIDER_UNTRUSTED",
        "Check base_url and the certificate authorities that the server trusts.",
        fallback="next",
        breaker_effect="count",
    )


class ProviderProtocolError(GatewayError):
    """The provider's response violates its protocol: HTML, an empty body, invalid JSON, or no content at all."""

    spec = replace(
        TRANSIENT,
        reason="PROVIDER_PROTOCOL",
        solution="Check base_url and wire: the response may come from something other than the provider.",
    )


class CircuitOpen(GatewayError):
    """The circuit breaker of the provider is open after repeated failures, for `retry_after` seconds."""

    spec = ErrorSpec(
        "UNAVAILABLE", "CIRCUIT_OPEN", "Retry after the indicated delay, or use another provider.", fallback="next"
    )


class StreamInterrupted(GatewayError):
    """The stream failed after its first content; `usage` holds the tokens consumed so far."""

    spec = ErrorSpec(
        "ABORTED",
        "STREAM_INTERRUPTED",
        "Discard the incomplete answer and retry.",
        fallback="next",
        breaker_effect="count",
    )


class OutputSchemaMismatch(GatewayError):
    """The answer does not match its schema, even after a repair; metadata `path` names the location."""

    spec = ErrorSpec(
        "ABORTED", "OUTPUT_SCHEMA_MISMATCH", "Simplify the schema, or use a model with native structured output."
    )

    def __init__(self, message: str, *, repair: Repair | None = None, **attributes: Any) -> None:
        super().__init__(message, **attributes)
        self.repair = repair
        """What to correct; None if the answer cannot be repaired."""


class DeadlineExceeded(GatewayError):
    """The deadline set by the caller or the server expired."""

    spec = ErrorSpec("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "Increase the timeout, or request a shorter answer.")


class ExtensionFailed(GatewayError):
    """An extension of the gateway raised, took too long or returned nonsense; metadata `extension` names it."""

    spec = ErrorSpec(
        "INTERNAL", "EXTENSION_FAILED", "Report the request id to the operator; the log contains the cause."
    )


class InternalError(GatewayError):
    """An internal error of the gateway. The cause is only in the log, under the request id."""

    spec = ErrorSpec("INTERNAL", "INTERNAL_ERROR", "Report the request id to the operator; the log contains the cause.")


def all_errors(root: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """Yield every error class with a spec of its own that can reach a caller, in the order of this module."""
    for child in root.__subclasses__():
        yield from (child,) if "spec" in vars(child) else ()
        yield from all_errors(child)
