"""Turns protobuf's enums, durations, timestamps and costs into words, seconds, datetimes and amounts of money."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

NANOS = Decimal("1e-9")


class Enum(Protocol):
    """What every generated enum offers."""

    def items(self) -> Iterable[tuple[str, int]]:
        """Names and numbers."""


def words(enum: Enum) -> dict[str, int]:
    """Every word of an enum and its number: MAX_TOKENS of FinishReason is `max_tokens`. UNSPECIFIED is the empty word.

    >>> from aimanager.v1.usage_pb2 import UsageSource
    >>> words(UsageSource)
    {'': 0, 'reported': 1, 'estimated': 2, 'missing': 3}
    """
    named = {number: name for name, number in enum.items()}
    prefix = named[0].removesuffix("UNSPECIFIED")
    return {name.removeprefix(prefix).lower() if number else "": number for number, name in sorted(named.items())}


def word(enum: Enum, number: int) -> str:
    """The word for a number; `unknown` for one that a newer server may know."""
    return {number: name for name, number in words(enum).items()}.get(number, "unknown")


def seconds(message: Message, field: str) -> float | None:
    """Seconds of the Duration in `field`, None where it is not set."""
    if not message.HasField(field):
        return None
    duration: Duration = getattr(message, field)
    return duration.seconds + duration.nanos / 1e9


def moment(message: Message, field: str) -> datetime | None:
    """The Timestamp in `field` in UTC, None where it is not set."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(tzinfo=UTC)


def amount(message: Message, field: str) -> Decimal | None:
    """The total of the Cost in `field`, None where it is not set: a price that is not known is not zero."""
    total: int = getattr(message, field).total_nanos
    return total * NANOS if message.HasField(field) else None


def number(message: Message, field: str) -> float | None:
    """The optional number in `field`, None where it is not set."""
    value: float = getattr(message, field)
    return value if message.HasField(field) else None
