"""How long a provider asks us to wait, in every form in which providers say so."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

NEVER = math.inf
"""The provider advises against asking again: longer than any advice that is obeyed."""

LONGEST = 366 * 86400.0
"""More than this, in seconds, is no more than this: nobody waits a year."""

MILLISECOND_FIELDS = ("retry-after-ms", "x-ms-retry-after-ms")

BODY_FIELDS: Mapping[str, float] = {
    **dict.fromkeys(("retry_after", "retryAfter", "retry_after_seconds", "retryAfterSeconds"), 1.0),
    **dict.fromkeys(("retry_after_ms", "retryAfterMs"), 0.001),
}
"""Fields of an error that hold advice, and how many seconds their unit is."""

DATE = re.compile(r"[A-Za-z]{3,9}, \d{1,2}[ -][A-Za-z]{3}[ -]\d{2,4} [\d:]{5,8}(?: [A-Z]{1,4}| [+-]\d{4})?")

WORDS = re.compile(
    r"\b(?:try again|retry)(?: after| in) (?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,4})m(?!s))?"
    r"(?:(?P<n>\d{1,9}(?:\.\d{1,9})?) ?(?P<unit>milliseconds?|ms|seconds?|sec|s|minutes?|min)\b)?",
    re.IGNORECASE,
)
"""OpenAI's "Please try again in 1m2.5s", Azure's "Please retry after 20 seconds" and their like."""


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
    return max(_waits(advice, _date(headers.get("date", "")) or now), default=None)


def advised(error: Mapping[str, Any]) -> float | None:
    """Seconds that the fields of an error ask to wait; None where none does.

    >>> advised({"message": "Slow down.", "retry_after": 2}), advised({"retry_after_ms": "250"}), advised({"code": 429})
    (2.0, 0.25, None)
    """
    for field, unit in BODY_FIELDS.items():
        value = error.get(field)
        number = _number(str(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        if number is not None:
            return number * unit
    return None


def advised_in_words(message: str) -> float | None:
    """Seconds that the words of an error ask to wait; None where they do not.

    >>> advised_in_words("Please try again in 1m2.5s."), advised_in_words("Please retry after 20 seconds.")
    (62.5, 20.0)
    >>> advised_in_words("Try again in 250ms"), advised_in_words("Please try again in a while.")
    (0.25, None)
    """
    found = WORDS.search(message)
    if found is None or not any(found.group("h", "m", "n")):
        return None
    unit = (found["unit"] or "s").lower()
    scale = 0.001 if unit.startswith(("ms", "milli")) else 60.0 if unit.startswith("min") else 1.0
    seconds = 3600.0 * int(found["h"] or 0) + 60.0 * int(found["m"] or 0) + scale * float(found["n"] or 0)
    return min(seconds, LONGEST)


def _waits(advice: str, since: datetime) -> Iterator[float]:
    """Every wait that is asked for: a header may have come more than once, in one form or the other."""
    dates = DATE.findall(advice) or [advice]
    for date in filter(None, map(_date, dates)):
        yield min(max(0.0, (date - since).total_seconds()), LONGEST)
    number = _number(DATE.sub("", advice))
    if number is not None:
        yield number


def _number(text: str) -> float | None:
    """The largest of the numbers, 0 for a negative one; None where none is a number."""
    numbers = [number for piece in text.split(",") if (number := _finite(piece)) is not None]
    return max(0.0, *numbers) if numbers else None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return min(number, LONGEST) if math.isfinite(number) else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
