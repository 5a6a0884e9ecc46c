"""Token usage and cost of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from .value import dataclass


class UsageSource(StrEnum):
    """Origin of a token count: the provider, the gateway's estimate, or none."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. Cache tokens are part of `input_tokens`, reasoning tokens part of `output_tokens`.

    `long_cache_write_tokens` are the part of `cache_write_tokens` that is kept for longer than the provider's default.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = UsageSource.MISSING
    long_cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost in billionths of `currency`."""

    input_nanos: int
    output_nanos: int
    currency: str = "USD"
    estimated: bool = True

    @property
    def total_nanos(self) -> int:
        """Return the sum of input and output cost."""
        return self.input_nanos + self.output_nanos


CostFunction = Callable[[str, str, Usage], Cost | None]
"""Return the cost of the usage of a provider's model; None if no price is known."""


def add_usage(first: Usage, second: Usage) -> Usage:
    """Return the sum. Its source is the less reliable of the two."""
    reliability = (UsageSource.MISSING, UsageSource.ESTIMATED, UsageSource.REPORTED)
    return Usage(
        first.input_tokens + second.input_tokens,
        first.output_tokens + second.output_tokens,
        first.cache_read_tokens + second.cache_read_tokens,
        first.cache_write_tokens + second.cache_write_tokens,
        first.reasoning_tokens + second.reasoning_tokens,
        min(first.source, second.source, key=reliability.index),
        first.long_cache_write_tokens + second.long_cache_write_tokens,
    )


def add_cost(first: Cost | None, second: Cost | None) -> Cost | None:
    """Return the sum; None if either cost is unknown."""
    if first is None or second is None:
        return None
    return replace(
        second,
        input_nanos=first.input_nanos + second.input_nanos,
        output_nanos=first.output_nanos + second.output_nanos,
        estimated=first.estimated or second.estimated,
    )
