"""How long a provider asks us to wait, in every form in which providers say so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

NEVER = math.inf
"""The provider advises against asking again: longer than any advice that is obeyed."""

MILLISECOND_FIELDS = ("retry-after-ms", "x-ms-retry-after-ms")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait; None where nothing usable is said, NEVER for `x-should-retry: false`.

    `headers` are in lower case. A date counts from the provider's own clock where it sent one, else from `now`; a date
    in the past and a negative number are 0. Of duplicates the longest counts.

    >>> now = datetime(2026, 11, 22, tzinfo=UTC)
    >>> retry_after({"retry-after-ms": "250", "retry-after": "9"}, now), retry_after({"retry-after": "soon"}, now)
    (0.25, None)
    """
    if headers.get("x-should-retry", "").strip().lower() == "false":
        return NEVER
    for field in MILLISECOND_FIELDS:
        if (milliseconds := _number(headers.get(field, ""))) is not None:
            return milliseconds / 1000
    advice = headers.get("retry-after", "")
    seconds = _number(advice)
    if seconds is not None:
        return seconds
    date = _date(advice)
    if date is None:
        return None
    return max(0.0, (date - (_date(headers.get("date", "")) or now)).total_seconds())


def _number(text: str) -> float | None:
    try:
        numbers = [float(piece) for piece in text.split(",")]
    except ValueError:
        return None
    if not all(math.isfinite(number) for number in numbers):
        return None
    return max(0.0, *numbers)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
