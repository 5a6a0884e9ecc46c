"""What an operator says of failing providers: when they are asked again, left alone, raced, and who answers instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .types import Count, Place, Seconds, Section, misfits

Share = Annotated[float, Field(gt=0, le=1)]
Policy = Literal["priority", "weighted", "least_latency", "lowest_cost", "least_loaded"]


class Retry(Section):
    """Asking the same target again after a fault that can pass."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Sendings of one call to one target, the first included; a refused key is replaced besides."""
    base_seconds: Seconds = 0.25
    """The first wait, doubled each time, with full jitter."""
    longest_advice_seconds: Seconds = 120.0
    """Where a provider asks for a longer wait, it is not asked again."""
    budget_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Sendings after the first, as a share of the calls to a provider."""
    budget_reserve: Annotated[int, Field(ge=0)] = 10
    """Sendings after the first that are free of that share; one a second comes back."""


class Breaker(Section):
    """When a failing target is left alone, and for how long."""

    failure_threshold: Count = 5
    """Failures in a row that open it."""
    window_seconds: Seconds = 30.0
    """The window that `window_share` is counted in."""
    window_calls: Count = 20
    """The fewest calls in the window that say something."""
    window_share: Share = 0.5
    """The share of failures in the window that opens it."""
    probe_seconds: Seconds = 4.0
    """How often an open circuit's provider is asked for its model list, 10 % more or less; the answer half-opens it."""
    open_seconds: Seconds = 5.0
    """Where it is not probed: the first pause, doubled with every failed trial."""
    longest_open_seconds: Seconds = 60.0
    """Where it is not probed: the longest pause."""
    refused_seconds: Seconds = 300.0
    """The pause after a refused key or a spent quota."""


class PatienceSettings(Section):
    """How long a silent provider is waited for. The deadline of a call bounds all of it."""

    first_token_seconds: Seconds = 10.0
    """Up to the first content, where another target is left; else the deadline alone counts."""
    first_token_reasoning_seconds: Seconds = 120.0
    """The same for a model that thinks first."""
    idle_text_seconds: Seconds = 10.0
    """Between two pieces of text. Comments and pings of the provider are no content."""
    idle_tool_call_seconds: Seconds = 90.0
    """Between two pieces of a tool call's arguments."""
    idle_reasoning_seconds: Seconds = 120.0
    """Between two pieces of reasoning, and wherever a model may think unseen."""


class Hedging(Section):
    """Asking a second target where the first is slower than it mostly is; the first answer counts, both are paid."""

    enabled: bool = False
    """Whether this is done, for calls that are not streamed and have another target."""
    share: Share = 0.05
    """The most of all such calls that are asked twice."""
    least_seconds: Seconds = 0.5
    """The shortest wait before the second is asked; else until 95 % of the first's streamed answers had begun."""
    least_samples: Count = 20
    """Streamed answers of the last hour that are needed to tell when that is."""


class RouteSettings(Section):
    """A logical model: a name that leads to one of several targets."""

    targets: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=16)]
    """Models that may answer, in the form of a call's `model`."""
    policy: Policy = "priority"
    """Who is asked first: the first listed; by weight; the quickest to begin; the cheapest; who has least to do."""
    weights: list[Count] = Field(default_factory=list)
    """Shares of the targets, in their order, where the policy is weighted; where not said, they are equal."""
    fallback_models: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=8)] = Field(
        default_factory=list
    )
    """Who is asked where all targets fail, in order."""

    @model_validator(mode="after")
    def _weighs_each(self) -> Self:
        found = list(self._problems())
        if found:
            raise misfits(found)
        return self

    def _problems(self) -> Iterator[tuple[Place, str]]:
        if self.weights and self.policy != "weighted":
            yield ("weights",), f'stands beside the policy {self.policy}; accepted is policy = "weighted"'
        elif self.weights and len(self.weights) != len(self.targets):
            yield ("weights",), f"has {len(self.weights)} numbers for {len(self.targets)} targets; accepted is one each"
