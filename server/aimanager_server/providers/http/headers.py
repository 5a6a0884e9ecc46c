"""What headers say on the way to a provider and back."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.request import Call
from .transport import Response

LONGEST_HEADER = 512


def correlation(call: Call) -> dict[str, str]:
    """The headers by which an exchange is found again in other logs; what no header can carry stays here."""
    said = (("X-Client-Request-Id", call.id), ("traceparent", call.traceparent))
    return {name: value for name, value in said if value and len(value) <= LONGEST_HEADER and _fits_header(value)}


def folded(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers under names in lower case; what came more than once is joined by commas."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def media_type(response: Response) -> str:
    """What the body claims to be, in lower case and without parameters; empty where nothing is said."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def is_json(response: Response) -> bool:
    """The body claims to be one JSON text."""
    claimed = media_type(response)
    return claimed == "application/json" or claimed.endswith("+json")


def _fits_header(value: str) -> bool:
    return value.isascii() and value.isprintable()
