"""Tokens and attempts of a call."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .._convert.scalars import enum_word, read_cost, read_seconds
from ..v1 import generation_pb2, usage_pb2


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one response. `input_tokens` and `output_tokens` are totals; the others are subsets of them.

    `source` is `reported` (by the provider), `estimated` (by the gateway) or `missing` (the counts are meaningless).
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: str = "missing"

    @property
    def total_tokens(self) -> int:
        """Sum of input and output tokens.

        >>> Usage(input_tokens=3, output_tokens=4).total_tokens
        7
        """
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a provider. `error_reason` is empty on success.

    `duration` is in seconds, until the first content or the failure. `usage` and `cost`, in `currency`, are those of a
    failed or superseded attempt, if it spent any tokens; the response's own usage and cost exclude them.
    """

    provider: str
    model: str
    error_reason: str = ""
    duration: float | None = None
    usage: Usage | None = None
    cost: Decimal | None = None
    currency: str = ""


def read_usage(usage: usage_pb2.Usage) -> Usage:
    """Convert usage from the server."""
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        source=enum_word(usage_pb2.UsageSource, usage.source) or "missing",
    )


def read_attempts(execution: generation_pb2.Execution) -> tuple[Attempt, ...]:
    """Convert the attempts of a call, in order. The one that answered is last."""
    return tuple(map(_read_attempt, execution.attempts))


def _read_attempt(attempt: generation_pb2.Attempt) -> Attempt:
    return Attempt(
        attempt.provider,
        attempt.model,
        attempt.error_reason,
        duration=read_seconds(attempt, "duration"),
        usage=read_usage(attempt.usage) if attempt.HasField("usage") else None,
        cost=read_cost(attempt, "cost"),
        currency=attempt.cost.currency_code,
    )
