"""Order the targets of a route by its policy, with unavailable targets last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from ..catalog.model import Model, Rates
from ..config.routes import RoutingPolicy
from .candidates import Candidate

EXPLORATION_RATE = 0.1
"""Share of calls that try a target without latency data first, so that data is collected.

The share stays small, since a target that never responds never has data.
"""

TargetOrder = Callable[[str, RoutingPolicy, Sequence[Candidate]], Sequence[Candidate]]
"""Orders the targets of a route: takes the route's name, its policy and its targets in configured order."""


class LoadBalancer:
    """Order targets by current data.

    The callables take provider and model id: `first_token` returns the median time to first token in seconds, None
    without enough data; `in_flight` the calls in flight; `is_open` whether the circuit breaker is open. `rates` returns
    the current prices of a model, None if unknown. `random` returns numbers from 0 to below 1.
    """

    def __init__(
        self,
        first_token: Callable[[str, str], float | None],
        in_flight: Callable[[str, str], int],
        rates: Callable[[Model], Rates | None],
        is_open: Callable[[str, str], bool],
        random: Callable[[], float],
    ) -> None:
        self._first_token = first_token
        self._in_flight = in_flight
        self._rates = rates
        self._is_open = is_open
        self._random = random
        self._rotations: dict[str, int] = {}
        self._policies: dict[RoutingPolicy, Callable[[str, Sequence[Candidate]], Sequence[Candidate]]] = {
            "priority": lambda route, candidates: candidates,
            "weighted": self._weighted_random,
            "least_latency": self._least_latency,
            "lowest_cost": self._lowest_cost,
            "least_loaded": self._least_loaded,
        }

    def __call__(self, route: str, policy: RoutingPolicy, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return the targets, best first. Targets with an open circuit breaker come last and do not take a share."""
        available: list[Candidate] = []
        unavailable: list[Candidate] = []
        for one in candidates:
            (unavailable if self._is_open(one.resolved.model.provider, one.resolved.id) else available).append(one)
        order = self._policies[policy]
        return [one for group in (available, unavailable) if group for one in order(route, group)]

    def _weighted_random(self, route: str, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Draw the first target by weight; order the others by descending weight."""
        cumulative = list(accumulate(candidate.weight for candidate in candidates))
        point = self._random() * cumulative[-1]
        first = next((index for index, end in enumerate(cumulative) if point < end), len(candidates) - 1)
        others = [*candidates[:first], *candidates[first + 1 :]]
        return [candidates[first], *sorted(others, key=lambda candidate: -candidate.weight)]

    def _least_latency(self, route: str, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Order by time to first token. Targets without data come last, except for the exploration share."""
        measured: list[tuple[float, Candidate]] = []
        unmeasured: list[Candidate] = []
        for candidate in candidates:
            seconds = self._first_token(candidate.resolved.model.provider, candidate.resolved.id)
            if seconds is None:
                unmeasured.append(candidate)
            else:
                measured.append((seconds, candidate))
        ordered = [*(candidate for _, candidate in sorted(measured, key=lambda pair: pair[0])), *unmeasured]
        if unmeasured and self._random() < EXPLORATION_RATE:
            explored = unmeasured[int(self._random() * len(unmeasured))]
            ordered.remove(explored)
            return [explored, *ordered]
        return ordered

    def _lowest_cost(self, route: str, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        return sorted(candidates, key=self._price)

    def _price(self, candidate: Candidate) -> tuple[bool, int]:
        """Return a sort key: the price of three input tokens per output token, unknown prices last."""
        rates = self._rates(candidate.resolved.model)
        return (True, 0) if rates is None else (False, 3 * rates.input + rates.output)

    def _least_loaded(self, route: str, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Order by calls in flight; rotate among targets with equally many."""
        rotation = self._rotations[route] = self._rotations.get(route, -1) + 1
        start = rotation % len(candidates)
        rotated = [*candidates[start:], *candidates[:start]]
        return sorted(rotated, key=lambda one: self._in_flight(one.resolved.model.provider, one.resolved.id))
