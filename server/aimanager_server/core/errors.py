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

from dataclasses import replace

from .fault import Fault, Row

PASSING = Row("UNAVAILABLE", "", "", retry=True, fallback="next", breaker="count")
"""A fault of the provider's that can pass by itself."""


class InvalidRequest(Fault):
    """The request is not well formed; `fields` says where."""

    row = Row("INVALID_ARGUMENT", "INVALID_FIELD", "Correct the field and send the request again.")


class CapabilityUnsupported(Fault):
    """The model cannot do what the request needs; metadata `models` names some that can."""

    row = Row("INVALID_ARGUMENT", "CAPABILITY_UNSUPPORTED", "Choose a model that can, or leave out what it cannot do.")


class PayloadTooLarge(Fault):
    """Too many bytes; metadata holds `limit` and `actual`."""

    row = Row("INVALID_ARGUMENT", "PAYLOAD_TOO_LARGE", "Send less, or have the operator raise the limit.")


class ContextTooLong(Fault):
    """The prompt does not fit the model's context window."""

    row = Row(
        "INVALID_ARGUMENT",
        "CONTEXT_TOO_LONG",
        "Shorten the conversation or choose a model with a larger context window.",
        fallback="larger",
    )


class ContentBlocked(Fault):
    """The provider's policy refuses the prompt."""

    row = Row("INVALID_ARGUMENT", "CONTENT_BLOCKED", "Rephrase the prompt: the provider's usage policy blocked it.")


class Unauthenticated(Fault):
    """The gateway does not know the caller."""

    row = Row("UNAUTHENTICATED", "API_KEY_INVALID", "Send the gateway token as 'authorization: Bearer TOKEN'.")


class Forbidden(Fault):
    """The gateway knows the caller and says no."""

    row = Row("PERMISSION_DENIED", "ACCESS_DENIED", "Ask the operator of the gateway for access.")


class MissingCredentials(Fault):
    """Neither the caller nor the server has a key for the provider; metadata `envVar` names the variable."""

    row = Row("FAILED_PRECONDITION", "MISSING_CREDENTIALS", "Give the server a key for the provider.", fallback="next")


class UnknownProvider(Fault):
    """No provider of that name; metadata `nearest` names similar ones."""

    row = Row("NOT_FOUND", "PROVIDER_NOT_FOUND", "Name a configured provider; ListModels shows them.")


class ModelNotFound(Fault):
    """No model of that name, or it was retired; metadata `nearest` or `replacement` names another."""

    row = Row("NOT_FOUND", "MODEL_NOT_FOUND", "Name a model that ListModels shows.", fallback="next")


class RateLimited(Fault):
    """The gateway's own limit; metadata holds `quota`, `limit` and `subject`."""

    row = Row("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Wait for the time given, or get a higher tier.", fallback="next")


class Overloaded(Fault):
    """The gateway takes no more work for now, or is shutting down."""

    row = Row("UNAVAILABLE", "OVERLOADED", "Send it again: another replica may take it.", fallback="next", resend=True)


class ProviderRejected(Fault):
    """The provider finds the request wrong."""

    row = Row(
        "INVALID_ARGUMENT", "PROVIDER_REJECTED_REQUEST", "Change what the provider names in the message, then resend."
    )


class CallerKeyRejected(Fault):
    """The provider refuses the caller's own key: this caller's fault, nobody else's."""

    row = Row("UNAUTHENTICATED", "PROVIDER_KEY_REJECTED", "Check the provider key given to the client: it was refused.")


class ProviderAuth(Fault):
    """The provider refuses the server's key."""

    row = Row(
        "FAILED_PRECONDITION",
        "PROVIDER_CREDENTIALS_INVALID",
        "The operator must replace the server's key for this provider.",
        fallback="next",
        breaker="open",
    )


class ProviderQuota(Fault):
    """The account at the provider is out of money or over its spend cap. Waiting does not help."""

    row = Row(
        "RESOURCE_EXHAUSTED",
        "PROVIDER_QUOTA_EXHAUSTED",
        "Add credit or raise the spend limit in the provider's console.",
        fallback="next",
        breaker="open",
    )


class ProviderRateLimited(Fault):
    """The provider's rate limit."""

    row = Row(
        "RESOURCE_EXHAUSTED",
        "PROVIDER_RATE_LIMITED",
        "Wait for the time given, or spread the load.",
        retry=True,
        fallback="next",
    )


class ProviderTimeout(Fault):
    """The provider gave up on the request."""

    row = replace(PASSING, reason="PROVIDER_TIMEOUT", solution="Try again later, or ask for a shorter answer.")


class FirstTokenTimeout(Fault):
    """The provider said nothing within our limit."""

    row = Row(
        "UNAVAILABLE",
        "FIRST_TOKEN_TIMEOUT",
        "Try again later, use another model, or allow more time.",
        fallback="next",
        breaker="count",
    )


class ProviderFailed(Fault):
    """The provider failed inside."""

    row = replace(PASSING, reason="PROVIDER_ERROR", solution="Try again later or use another model: this one failed.")


class ProviderOverloaded(Fault):
    """The provider has no capacity for now."""

    row = replace(PASSING, reason="PROVIDER_OVERLOADED", solution="Try again later or use another model: no capacity.")


class ProviderUnreachable(Fault):
    """No connection: DNS, refused, reset or a broken handshake."""

    row = replace(
        PASSING,
        reason="PROVIDER_UNREACHABLE",
        solution="Check base_url, DNS and the network between the server and the provider.",
    )


class ProviderUntrusted(Fault):
    """The provider's certificate is not valid for its name. Asking again changes nothing."""

    row = Row(
        "UNAVAILABLE",
        "PROVIDER_UNTRUSTED",
        "Check base_url and the certificate authorities of the server: the certificate was not accepted.",
        fallback="next",
        breaker="count",
    )


class ProviderProtocol(Fault):
    """The provider answered something that cannot be read: HTML, nothing, garbage, a cut before any content."""

    row = replace(
        PASSING,
        reason="PROVIDER_PROTOCOL",
        solution="Check base_url and wire: something other than the provider may have answered.",
    )


class CircuitOpen(Fault):
    """The provider failed too often and is left alone for `retry_after` seconds."""

    row = Row("UNAVAILABLE", "CIRCUIT_OPEN", "Wait for the time given or use another provider.", fallback="next")


class StreamInterrupted(Fault):
    """The answer was lost after its first content; `usage` says what was paid for so far."""

    row = Row(
        "ABORTED",
        "STREAM_INTERRUPTED",
        "Discard what was received and ask again: the answer is not complete.",
        fallback="next",
        breaker="count",
    )


class SchemaMismatch(Fault):
    """The answer misses its schema, after a repair too; metadata `path` says where, `usage` what was paid for."""

    row = Row("ABORTED", "OUTPUT_SCHEMA_MISMATCH", "Simplify the schema, or use a model that promises schemas.")


class DeadlineExceeded(Fault):
    """The time the caller or the server allows has passed."""

    row = Row("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "Allow more time, or ask for a shorter answer.")


class Internal(Fault):
    """A bug of ours. The message says nothing of the cause; the log does, under the request id."""

    row = Row("INTERNAL", "INTERNAL_ERROR", "Report it with the request id: the server's log has the cause.")
