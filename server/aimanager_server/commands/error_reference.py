"""Generate the error reference, docs/errors.md, from the error classes in `core.errors`."""

from __future__ import annotations

from ..core import errors
from ..core.errors import GatewayError, all_errors

FALLBACKS = {"never": "no", "next": "next target", "larger": "larger context window"}
BREAKER_EFFECTS = {"ignore": "ignored", "count": "counted", "open": "opens at once"}

PREFACE = """\
# Errors

Every failure is a gRPC status whose details contain an `ErrorInfo` with domain `aimanager.dev` and one of the reasons
below. `LocalizedMessage` states the solution, and `RetryInfo` the delay if a retry can help. Match on the reason:
messages may change.

*Retried*: the gateway retries the same target. *Fallback*: the target the gateway tries next. *Circuit breaker*:
whether the failure counts against the provider. *Client retry*: a client may retry the call automatically."""


def error_reference() -> str:
    """Return the page as Markdown, in the order of `core/errors.py`."""
    rows = [_row(error) for error in all_errors() if error.__module__ == errors.__name__]
    head = "| reason | gRPC code | cause | solution | retried | fallback | circuit breaker | client retry |"
    return "\n".join([PREFACE, "", head, "|" + " --- |" * 8, *rows]) + "\n"


def _row(error: type[GatewayError]) -> str:
    spec = error.spec
    cause = " ".join((error.__doc__ or "").split())
    cells = [
        f"`{spec.reason}`",
        spec.code,
        cause,
        spec.solution,
        "yes" if spec.retryable else "no",
        FALLBACKS[spec.fallback],
        BREAKER_EFFECTS[spec.breaker_effect],
        "yes" if spec.client_may_retry else "no",
    ]
    return f"| {' | '.join(cells)} |"
