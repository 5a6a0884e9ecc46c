"""Parse the retry delay that a provider requests, from headers, error bodies and messages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from .json_codec import object_list_field

NEVER_RETRY = math.inf
"""The provider advises against a retry: longer than any delay that is honored."""

MAX_SECONDS = 366 * 86400.0
"""Longer delays are capped at this many seconds."""

MILLISECOND_FIELDS = ("retry-after-ms", "x-ms-retry-after-ms")

BODY_FIELDS: Mapping[str, float] = {
    **dict.fromkeys(("retry_after", "retryAfter", "retry_after_seconds", "retryAfterSeconds"), 1.0),
    **dict.fromkeys(("retry_after_ms", "retryAfterMs"), 0.001),
}
"""Error fields with a retry delay, and their unit in seconds."""

HTTP_DATE = re.compile(r"[A-Za-z]{3,9}, \d{1,2}[ -][A-Za-z]{3}[ -]\d{2,4} [\d:]{5,8}(?: [A-Z]{1,4}| [+-]\d{4})?")

DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")

MESSAGE_DELAY = re.compile(
    r"\b(?:try again|retry)(?: after| in) (?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,4})m(?!s))?"
    r"(?:(?P<n>\d{1,9}(?:\.\d{1,9})?) ?(?P<unit>milliseconds?|ms|seconds?|sec|s|minutes?|min)\b)?",
    re.IGNORECASE,
)
"""Matches OpenAI's "Please try again in 1m2.5s", Azure's "Please retry after 20 seconds" and similar messages."""


def retry_after_from_headers(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the delay in seconds; None without a usable header, NEVER_RETRY for `x-should-retry: false`.

    Header names are in lower case. An HTTP date is relative to the response's Date header, or to `now` without one.
    A past date or a negative number is 0. The longest of several values is used.

    >>> now = datetime(2026, 11, 22, tzinfo=UTC)
    >>> retry_after_from_headers({"retry-after-ms": "250", "retry-after": "9"}, now)
    0.25
    >>> retry_after_from_headers({"retry-after": "soon"}, now)
    """
    if headers.get("x-should-retry", "").strip().lower() == "false":
        return NEVER_RETRY
    for field in MILLISECOND_FIELDS:
        if (milliseconds := _number(headers.get(field, ""))) is not None:
            return milliseconds / 1000
    value = headers.get("retry-after", "")
    return max(_delays(value, _date(headers.get("date", "")) or now), default=None)


def retry_after_from_body(error: Mapping[str, Any]) -> float | None:
    """Return the delay in seconds from the fields of an error; None without one.

    >>> errors = ({"message": "Slow down.", "retry_after": 2}, {"retry_after_ms": "250"}, {"code": 429})
    >>> [retry_after_from_body(error) for error in errors]
    [2.0, 0.25, None]
    """
    for field, unit in BODY_FIELDS.items():
        value = error.get(field)
        number = _number(str(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        if number is not None:
            return number * unit
    return retry_after_from_details(error)


def retry_after_from_details(error: Mapping[str, Any]) -> float | None:
    """Return the delay in seconds of the RetryInfo in the details of one of Google's errors; None without one.

    >>> retry_after_from_details({"details": [{"retryDelay": "34.07s"}]})
    34.07
    """
    for detail in object_list_field(error, "details"):
        found = DURATION.fullmatch(str(detail.get("retryDelay", "")))
        if found is not None:
            return float(found[1])
    return None


def retry_after_from_message(message: str) -> float | None:
    """Return the delay in seconds from the message of an error; None without one.

    >>> messages = ("Please try again in 1m2.5s.", "Please retry after 20 seconds.", "Try again in 250ms", "Wait.")
    >>> [retry_after_from_message(message) for message in messages]
    [62.5, 20.0, 0.25, None]
    """
    found = MESSAGE_DELAY.search(message)
    if found is None or not any(found.group("h", "m", "n")):
        return None
    unit = (found["unit"] or "s").lower()
    scale = 0.001 if unit.startswith(("ms", "milli")) else 60.0 if unit.startswith("min") else 1.0
    seconds = 3600.0 * int(found["h"] or 0) + 60.0 * int(found["m"] or 0) + scale * float(found["n"] or 0)
    return min(seconds, MAX_SECONDS)


def _delays(value: str, since: datetime) -> Iterator[float]:
    """Yield every delay in the header, which may be repeated and mix dates and numbers."""
    dates = HTTP_DATE.findall(value) or [value]
    for date in filter(None, map(_date, dates)):
        yield min(max(0.0, (date - since).total_seconds()), MAX_SECONDS)
    number = _number(HTTP_DATE.sub("", value))
    if number is not None:
        yield number


def _number(text: str) -> float | None:
    """Return the largest of the comma-separated numbers, at least 0; None if none is a number."""
    numbers = [number for piece in text.split(",") if (number := _finite(piece)) is not None]
    return max(0.0, *numbers) if numbers else None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return min(number, MAX_SECONDS) if math.isfinite(number) else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
