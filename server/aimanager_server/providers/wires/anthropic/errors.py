"""Map the errors of the Messages API that differ from other providers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ....core.errors import ContentBlocked, GatewayError, ProviderQuotaExhausted
from ....core.provider_state import ProviderStateRejected
from ..provider_errors import build_error, parse_error_body

COMPACTION = b"compaction"
"""In each error about a compaction that was sent back, such as `compaction_signature_invalid`; see compaction.py."""

ERRORS_BY_PHRASE: Mapping[str, type[GatewayError]] = {
    **dict.fromkeys(("usage limits", "spend limit", "credit balance"), ProviderQuotaExhausted),
    "content filtering policy": ContentBlocked,
}
"""The error of a status 400 by a phrase in its message."""


def error_from_response(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayError:
    """Return the error for an unsuccessful response. Header names are in lower case."""
    error_body = parse_error_body(body)
    error = build_error(status, headers, error_body, now)
    error_type = type(error)
    if status == 400 and COMPACTION in body.lower():
        return ProviderStateRejected(error.message, upstream_status=status)
    if status == 400:
        matches = (kind for phrase, kind in ERRORS_BY_PHRASE.items() if error_body.mentions((phrase,)))
        error_type = next(matches, error_type)
    if error_type is type(error):
        return error
    return error_type(error.message, retry_after=error.retry_after, upstream_status=status)
