"""Writes the page that explains every error a caller can meet, from the one table that drives them."""

from __future__ import annotations

from ..core import errors
from ..core.errors import GatewayError, all_errors

BREAKERS = {"ignore": "–", "count": "counts", "open": "opens at once"}
FALLBACKS = {"never": "–", "next": "next target", "larger": "a larger window"}

PREFACE = """\
# Errors

Every failure is a gRPC status whose details hold an `ErrorInfo` with domain `aimanager.dev` and one of the reasons
below; `LocalizedMessage` says what to do, and `RetryInfo` is there where waiting helps. Match on the reason: messages
change.

*Tried again*: the gateway asks the same target again by itself. *Falls back*: which other target it asks. *Breaker*:
whether the failure counts against the provider. *Resend*: a client may send the call again by itself."""


def error_reference() -> str:
    """The page as Markdown, in the order of the table in `errors.py`."""
    rows = [_row(fault) for fault in all_errors() if fault.__module__ == errors.__name__]
    head = "| reason | gRPC code | what happened | what to do | tried again | falls back | breaker | resend |"
    return "\n".join([PREFACE, "", head, "|" + " --- |" * 8, *rows]) + "\n"


def _row(fault: type[GatewayError]) -> str:
    row = fault.spec
    story = " ".join((fault.__doc__ or "").split())
    cells = [
        f"`{row.reason}`",
        row.code,
        story,
        row.solution,
        "yes" if row.retryable else "–",
        FALLBACKS[row.fallback],
        BREAKERS[row.breaker_effect],
        "yes" if row.client_may_retry else "–",
    ]
    return f"| {' | '.join(cells)} |"
