"""What a refusal of Google's means: the cause and the advice stand in its details, not in the status or a header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ....core.errors import ContextTooLong, GatewayError, ProviderQuotaExhausted, ProviderRateLimited
from ....telemetry.redaction import cut, masked
from ..json_codec import read_json
from ..provider_errors import LONGEST_READ, Said, kind_of, read_error, said_of
from ..retry_after import retry_after

TOO_LONG = ("exceeds the maximum number of tokens",)
SPENT = ("spend limit", "spending cap", "spend cap", "prepay", "credits are depleted", "credit balance")

DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def fault_of_response(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> GatewayError:
    """The fault a response means that is not a success. `headers` are in lower case."""
    try:
        value = read_json(body[:LONGEST_READ].strip())
    except ValueError:
        value = None
    error = _error_in(value)
    said = _said(value, error) if error else read_error(body)
    advice = retry_after(headers, now)
    return _fault(status, said, error, _delay(error) if advice is None else advice, status)


def fault_inside(value: Any) -> GatewayError:
    """The fault that an error inside a 200 means, by the status it would have had."""
    error = _error_in(value)
    said = _said(value, error)
    return _fault(said.status or 500, said, error, _delay(error), 200)


def _fault(status: int, said: Said, error: Mapping[str, Any], advice: float | None, upstream: int) -> GatewayError:
    kind = _kind(status, said, error, advice)
    label = said.code if said.code and not said.code.isdigit() else said.type
    name = f" ({cut(label, 80)})" if label else ""
    message = f"The provider answered {status}{name}: {masked(said.message, longest=LONGEST_READ)}"
    return kind(message, retry_after=advice, upstream_status=upstream)


def _kind(status: int, said: Said, error: Mapping[str, Any], advice: float | None) -> type[GatewayError]:
    if status == 429:
        # The same words, "exceeded your current quota", stand for the quota of a minute and of a day.
        spent = _is_daily(error) or (advice is None and said.speaks_of(SPENT))
        return ProviderQuotaExhausted if spent else ProviderRateLimited
    if status == 400 and said.speaks_of(TOO_LONG):
        return ContextTooLong
    return kind_of(status, said)


def _error_in(value: Any) -> Mapping[str, Any]:
    """The error object, which a stream that is no SSE wraps in a list."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _said(value: Any, error: Mapping[str, Any]) -> Said:
    """What was said, with the most particular name of the cause: that of the details, else the status."""
    said = said_of(value)
    reasons = [detail["reason"] for detail in _details(error) if isinstance(detail.get("reason"), str)]
    status = error.get("status")
    name = status if isinstance(status, str) else said.type
    return Said(said.message, type=name, code=reasons[0] if reasons else "", status=said.status)


def _delay(error: Mapping[str, Any]) -> float | None:
    """Seconds that RetryInfo asks to wait.

    >>> _delay({"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}]})
    34.07
    """
    for detail in _details(error):
        found = DURATION.fullmatch(str(detail.get("retryDelay", "")))
        if found is not None:
            return float(found[1])
    return None


def _is_daily(error: Mapping[str, Any]) -> bool:
    """Whether a quota of the day is used up: the delay beside it is too short to help."""
    violations = [violation for detail in _details(error) for violation in _objects(detail.get("violations"))]
    return any("PerDay" in str(violation.get("quotaId", "")) for violation in violations)


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return _objects(error.get("details"))


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
