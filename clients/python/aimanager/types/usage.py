"""What a call took: tokens, and tries at providers with what each of them took."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .._convert.scalars import amount, seconds, word
from ..v1 import generation_pb2, usage_pb2


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. `input_tokens` and `output_tokens` are inclusive; the others are subsets of them.

    `source` is `reported` (by the provider), `estimated` (by the gateway) or `missing`: then the counts mean nothing.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: str = "missing"

    @property
    def total_tokens(self) -> int:
        """Sent and produced together.

        >>> Usage(input_tokens=3, output_tokens=4).total_tokens
        7
        """
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a provider. `error_reason` is empty on success.

    `duration` is in seconds, up to the first content or the failure. `usage` and `cost`, in `currency`, are what was
    spent on a try that failed after it had begun, or lost a race; the answer's own usage and cost leave them out.
    """

    provider: str
    model: str
    error_reason: str = ""
    duration: float | None = None
    usage: Usage | None = None
    cost: Decimal | None = None
    currency: str = ""


def read_usage(usage: usage_pb2.Usage) -> Usage:
    """Usage as the server tells it."""
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        source=word(usage_pb2.UsageSource, usage.source) or "missing",
    )


def read_attempts(route: generation_pb2.Route) -> tuple[Attempt, ...]:
    """Every try of a call: the one that answered last, but for one that lost a race to it."""
    return tuple(map(_read_attempt, route.attempts))


def _read_attempt(tried: generation_pb2.Attempt) -> Attempt:
    return Attempt(
        tried.provider,
        tried.model,
        tried.error_reason,
        duration=seconds(tried, "duration"),
        usage=read_usage(tried.usage) if tried.HasField("usage") else None,
        cost=amount(tried, "cost"),
        currency=tried.cost.currency_code,
    )
