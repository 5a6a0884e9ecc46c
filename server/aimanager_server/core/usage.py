"""What an answer took: tokens and money."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class UsageSource(StrEnum):
    """Who counted."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `input_tokens` and `output_tokens` are inclusive; the others are subsets of them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = UsageSource.MISSING


@dataclass(frozen=True, slots=True)
class Cost:
    """Money in billionths of `currency`."""

    input_nanos: int
    output_nanos: int
    currency: str = "USD"
    estimated: bool = True

    @property
    def total_nanos(self) -> int:
        """The sum of the components."""
        return self.input_nanos + self.output_nanos


def add_usage(first: Usage, second: Usage) -> Usage:
    """What both took; known no better than the worse known of the two."""
    worst = (UsageSource.MISSING, UsageSource.ESTIMATED, UsageSource.REPORTED)
    return Usage(
        first.input_tokens + second.input_tokens,
        first.output_tokens + second.output_tokens,
        first.cache_read_tokens + second.cache_read_tokens,
        first.cache_write_tokens + second.cache_write_tokens,
        first.reasoning_tokens + second.reasoning_tokens,
        min(first.source, second.source, key=worst.index),
    )


def add_cost(first: Cost | None, second: Cost | None) -> Cost | None:
    """The sum; None where one of the two is not known."""
    if first is None or second is None:
        return None
    return replace(
        second,
        input_nanos=first.input_nanos + second.input_nanos,
        output_nanos=first.output_nanos + second.output_nanos,
        estimated=first.estimated or second.estimated,
    )
