"""Build the headers of provider requests and interpret those of responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.request import HOPS_HEADER, Attempt

MAX_HEADER_VALUE_LENGTH = 512


def correlation_headers(attempt: Attempt[Any]) -> dict[str, str]:
    """Return the headers that correlate the request with the call; values not valid in a header are left out.

    One of them lists the gateways that the call has passed, so that a gateway notices that it calls itself.
    """
    call = attempt.call
    values = (("X-Client-Request-Id", call.id), ("traceparent", call.traceparent), (HOPS_HEADER, call.hops))
    return {name: value for name, value in values if _is_valid_header_value(value)}


def join_headers(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return received headers with lower-case names; the values of repeated headers are joined by commas."""
    joined = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    if len(joined) == len(headers):
        return joined
    joined.clear()
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def media_type(headers: Mapping[str, str]) -> str:
    """Return the Content-Type in lower case and without parameters; empty if the header is missing."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(headers: Mapping[str, str]) -> bool:
    """Return whether the Content-Type declares a single JSON document."""
    declared = media_type(headers)
    return declared == "application/json" or declared.endswith("+json")


def _is_valid_header_value(value: str) -> bool:
    return 0 < len(value) <= MAX_HEADER_VALUE_LENGTH and value.isascii() and value.isprintable()
