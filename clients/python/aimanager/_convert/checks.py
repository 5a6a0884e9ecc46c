"""Refuses what cannot travel, naming the keyword and the value, before protobuf does it in words of its own."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from ..errors import InvalidRequestError

LONGEST = 315_576_000_000  # seconds that a Duration may hold
NANOS = 10**9


def readable(keyword: str, text: str) -> str:
    """The text, if it is UTF-8. The error names the character that is not, never the text; TypeError for no str.

    >>> readable("system", "Be brief")
    'Be brief'
    """
    if not isinstance(text, str):
        raise TypeError(f"{keyword} must be a str, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"{keyword} is not UTF-8: character {error.start} is {text[error.start]!r}",
            solution="It was read with the wrong encoding, or is no text: decode it anew, or send it as an attachment.",
        ) from error
    return text


def names(keyword: str, given: Iterable[str]) -> list[str]:
    """The names, none of them empty. Raises InvalidRequestError for a lone str, which would be taken for its letters.

    >>> names("providers", ("claude", "openai"))
    ['claude', 'openai']
    """
    if isinstance(given, str):
        raise InvalidRequestError(
            f"{keyword} cannot be {given!r}: it is a list of names", solution=f"Write {keyword}=[{given!r}]."
        )
    listed = [readable(f"{keyword}[{index}]", name) for index, name in enumerate(given)]
    if "" in listed:
        raise InvalidRequestError(f"{keyword}[{listed.index('')}] is empty", solution="Give a name, or leave it out.")
    return listed


def put(message: Message, field: str, keyword: str, value: object) -> None:
    """Sets a number, unless it is None. Raises InvalidRequestError for what does not fit the field."""
    if value is None:
        return
    try:
        setattr(message, field, value)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"{keyword} cannot be {value!r:.100}: {error}", solution="Give a number that fits, or leave it out."
        ) from error


def duration(keyword: str, seconds: object) -> Duration:
    """Seconds as they travel. Raises InvalidRequestError unless they are a positive number.

    >>> duration("idle_timeout", 1.5)
    seconds: 1
    nanos: 500000000
    """
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 1 / NANOS <= seconds <= LONGEST:
        nanos = round(seconds * NANOS)
        return Duration(seconds=nanos // NANOS, nanos=nanos % NANOS)
    raise InvalidRequestError(
        f"{keyword} must be a positive number of seconds, got {seconds!r:.100}",
        solution="Leave it out for the default.",
    )
