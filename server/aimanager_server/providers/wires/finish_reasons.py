"""Prepare the finish reasons of providers for display."""

from __future__ import annotations

from ...telemetry.redaction import redact
from .json_codec import fix_surrogates

MAX_LENGTH = 200
"""Characters of a finish reason. It is cut before any work on it, since a provider may send megabytes."""


def printable_reason(reason: str, max_length: int = MAX_LENGTH) -> str:
    """Return a provider's reason as valid text without secrets, of at most `max_length` characters."""
    return redact(fix_surrogates(reason[: 2 * max_length]), max_length=max_length)
