"""Settings of routes: logical models that distribute calls over several targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .types import PositiveInt, Section, SettingPath, invalid_values

RoutingPolicy = Literal["priority", "weighted", "least_latency", "lowest_cost", "least_loaded"]
ModelReference = Annotated[str, Field(min_length=1)]


class RouteSettings(Section):
    """One route. Callers use its name as the model of a call."""

    targets: Annotated[list[ModelReference], Field(min_length=1, max_length=16)]
    """Models that serve the route, each in the form of a call's `model`."""
    policy: RoutingPolicy = "priority"
    """The order of the targets: as listed, by weight, by time to first token, by price, or by calls in flight."""
    weights: list[PositiveInt] = Field(default_factory=list)
    """Weights of the targets, in their order, for the policy `weighted`; equal if empty."""
    fallback_models: Annotated[list[ModelReference], Field(max_length=8)] = Field(default_factory=list)
    """Models to try, in order, after all targets failed."""

    @model_validator(mode="after")
    def _has_matching_weights(self) -> Self:
        found = list(self._weight_problems())
        if found:
            raise invalid_values(found)
        return self

    def _weight_problems(self) -> Iterator[tuple[SettingPath, str]]:
        if self.weights and self.policy != "weighted":
            yield ("weights",), f'requires policy = "weighted", got "{self.policy}"'
        elif self.weights and len(self.weights) != len(self.targets):
            yield (
                ("weights",),
                f"must have {len(self.targets)} weights, one per target, got {len(self.weights)}",
            )
