"""Tokens and attempts of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .._convert.scalars import enum_word, enum_words, read_cost, read_seconds
from ..v1 import generation_pb2, usage_pb2
from .presentation import FieldMapping


@dataclass(frozen=True, slots=True)
class Usage(FieldMapping):
    """Tokens of one response. `input_tokens` and `output_tokens` are totals; the others are subsets of them.
    `long_cache_write_tokens` are the part of `cache_write_tokens` that is kept for longer than the provider's default.

    Also a mapping of its attributes. `source` is `reported` (by the provider), `estimated` (by the gateway) or
    `missing` (the counts are meaningless).

    >>> usage = Usage(input_tokens=3, output_tokens=4)
    >>> usage.total_tokens, usage["input_tokens"], usage.get("cost")
    (7, 3, None)
    """

    computed = ("total_tokens",)

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: str = "missing"
    long_cache_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Sum of input and output tokens."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a provider. `error_reason` is empty on success.

    `duration` is in seconds, until the first content or the failure. `usage` and `cost`, in `currency`, are those of a
    failed or superseded attempt, if it spent any tokens; the response's own usage and cost exclude them. An attempt
    without a provider was rejected by the gateway's rate limit; `duration` is then how long the client waited.

    >>> Attempt("claude", "claude-haiku-5", "PROVIDER_OVERLOADED").error_reason
    'PROVIDER_OVERLOADED'
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
        long_cache_write_tokens=usage.long_cache_write_tokens,
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


def write_usage(usage: Usage | Mapping[str, Any]) -> usage_pb2.Usage | None:
    """Convert usage to the message of the API, reported unless it says otherwise; None without any."""
    counts = {name: value for name, value in dict(usage).items() if name != "total_tokens"}
    if not counts or counts.get("source") == "missing":
        return None
    source = enum_words(usage_pb2.UsageSource)[counts.pop("source", "reported")]
    return usage_pb2.Usage(**counts, source=usage_pb2.UsageSource.ValueType(source))
