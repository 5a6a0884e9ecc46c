"""The result of a run with tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..v1.content_pb2 import Message
from .presentation import short_repr
from .response import AIResponse
from .usage import Usage


@dataclass(frozen=True, slots=True, repr=False)
class RunResult:
    """The last response of a run, and what led to it. `str()` is the text of the response.

    `messages` is the conversation, the response included: pass it on to continue. `responses` are all responses of the
    model in order.

    >>> run = RunResult((), (AIResponse("Sunny.", "mock", "mock-large", {"input_tokens": 3, "output_tokens": 1}),))
    >>> print(run, run.usage.total_tokens)
    Sunny. 4
    """

    messages: Sequence[Message]
    responses: Sequence[AIResponse]

    @property
    def response(self) -> AIResponse:
        """The last response, which calls no tool."""
        return self.responses[-1]

    @property
    def content(self) -> str:
        """Text of the last response."""
        return self.response.content

    @property
    def parsed(self) -> Any:
        """Structured output of the last response, see `AIResponse.parsed`."""
        return self.response.parsed

    @property
    def usage(self) -> Usage:
        """Tokens of all responses together. `source` is `reported` only if it is for each of them."""
        each = [response.usage for response in self.responses]
        counts = (
            *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
            "long_cache_write_tokens",
        )
        sources = {usage.source for usage in each}
        return Usage(
            **{name: sum(usage[name] for usage in each) for name in counts},
            source=next(source for source in ("missing", "estimated", "reported") if source in sources),
        )

    @property
    def cost(self) -> Decimal | None:
        """Cost of all responses together; None if the price of one is unknown."""
        costs = [cost for response in self.responses if (cost := response.cost) is not None]
        return sum(costs, Decimal(0)) if len(costs) == len(self.responses) else None

    def __str__(self) -> str:
        return self.content

    def __format__(self, specification: str) -> str:
        return format(self.content, specification)

    def __repr__(self) -> str:
        return short_repr(self, "response", "cost")
