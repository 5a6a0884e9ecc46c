"""What a refusal of the Messages API means, where it differs from what every provider means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ....core.errors import ContentBlocked, ContextTooLong, GatewayError, ProviderQuotaExhausted
from ..provider_errors import Said, fault_of, read_error

SPENT = ("usage limits", "spend limit", "credit balance")
TOO_LONG = ("prompt is too long", "exceed context limit")
BLOCKED = ("content filtering policy",)


def fault_of_response(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayError:
    """The fault a response means that is not a success. `headers` are in lower case."""
    said = read_error(body)
    fault = fault_of(status, headers, said, now)
    kind = _kind(status, headers, said, fault.retry_after)
    if kind is None or type(fault) is kind:
        return fault
    return kind(fault.message, retry_after=fault.retry_after, upstream_status=status)


def _kind(status: int, headers: Mapping[str, str], said: Said, advice: float | None) -> type[GatewayError] | None:
    if status == 429 and advice is None and headers.get("x-should-retry") != "true":
        # Without advice it is the monthly spend cap: waiting a moment does not lift it.
        return ProviderQuotaExhausted
    if status != 400:
        return None
    for signs, kind in ((SPENT, ProviderQuotaExhausted), (TOO_LONG, ContextTooLong), (BLOCKED, ContentBlocked)):
        if said.speaks_of(signs):
            return kind
    return None
