"""Read enums, durations, timestamps, costs and optional numbers of protobuf messages as Python values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

NANO = Decimal("1e-9")


class Enum(Protocol):
    """The part of a generated enum that is used here."""

    def items(self) -> Iterable[tuple[str, int]]:
        """Return names and numbers."""

    def __hash__(self) -> int: ...


@cache
def enum_words(enum: Enum) -> dict[str, int]:
    """Map lower-case words to enum numbers: FINISH_REASON_MAX_TOKENS is `max_tokens`, UNSPECIFIED the empty word.

    >>> from aimanager.v1.usage_pb2 import UsageSource
    >>> enum_words(UsageSource)
    {'': 0, 'reported': 1, 'estimated': 2, 'missing': 3}
    """
    names = {number: name for name, number in enum.items()}
    prefix = names[0].removesuffix("UNSPECIFIED")
    return {name.removeprefix(prefix).lower() if number else "": number for number, name in sorted(names.items())}


def enum_word(enum: Enum, number: int) -> str:
    """Return the word for an enum number; `unknown` for a number that only a newer server has."""
    return _words_by_number(enum).get(number, "unknown")


@cache
def _words_by_number(enum: Enum) -> dict[int, str]:
    return {number: word for word, number in enum_words(enum).items()}


def read_seconds(message: Message, field: str) -> float | None:
    """Return the Duration in `field` as seconds, or None if unset."""
    if not message.HasField(field):
        return None
    duration: Duration = getattr(message, field)
    return duration.seconds + duration.nanos / 1e9


def read_time(message: Message, field: str) -> datetime | None:
    """Return the Timestamp in `field` in UTC, or None if unset."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(tzinfo=UTC)


def read_cost(message: Message, field: str) -> Decimal | None:
    """Return the total of the Cost in `field`, or None if unset: an unknown price is not zero."""
    total: int = getattr(message, field).total_nanos
    return total * NANO if message.HasField(field) else None


def read_optional(message: Message, field: str) -> float | None:
    """Return the number in `field`, or None if unset."""
    value: float = getattr(message, field)
    return value if message.HasField(field) else None
