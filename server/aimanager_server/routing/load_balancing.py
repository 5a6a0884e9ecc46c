"""Puts a route's targets in the order in which they are asked: by its policy, and those that are down last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from ..catalog.model import Rates
from ..core.request import Target

if TYPE_CHECKING:
    from ..config.resilience import Policy

EXPLORED = 0.1
"""The share of calls that go first to a target whose speed nobody knows yet, so that it becomes known.

No more, since a target that never answers never becomes known.
"""

Weighed = tuple[Target, int]
"""A target and its weight beside the others."""


class Order(Protocol):
    """Decides who is asked first."""

    def __call__(self, route: str, policy: Policy, weighed: Sequence[Weighed]) -> Sequence[Target]:
        """The targets of the route of that name, which are given as they are listed."""
        ...


def as_listed(route: str, policy: Policy, weighed: Sequence[Weighed]) -> Sequence[Target]:
    """The order of a server that knows nothing of its targets."""
    return [target for target, _ in weighed]


class Routing:
    """Orders targets by what is known of them now; each of the callables is asked by provider and model.

    `first_token` is the median of seconds to the first content, None where too few answers came; `in_flight` the calls
    under way; `rates` the prices of this moment, None where nobody knows; `is_open` whether the circuit is open. The
    numbers of `random` are from 0 to below 1.
    """

    def __init__(
        self,
        first_token: Callable[[str, str], float | None],
        in_flight: Callable[[str, str], int],
        rates: Callable[[str, str], Rates | None],
        is_open: Callable[[str, str], bool],
        random: Callable[[], float],
    ) -> None:
        self._first_token = first_token
        self._in_flight = in_flight
        self._rates = rates
        self._is_open = is_open
        self._random = random
        self._turns: dict[str, int] = {}
        self._policies: dict[Policy, Callable[[str, Sequence[Weighed]], Sequence[Weighed]]] = {
            "priority": lambda route, weighed: weighed,
            "weighted": self._drawn,
            "least_latency": self._quickest,
            "lowest_cost": self._cheapest,
            "least_loaded": self._idlest,
        }

    def __call__(self, route: str, policy: Policy, weighed: Sequence[Weighed]) -> Sequence[Target]:
        """The targets, best first. Those whose circuit is open come after all others, and draw no share of theirs."""
        closed: list[Weighed] = []
        opened: list[Weighed] = []
        for one in weighed:
            (opened if self._is_open(one[0].provider, one[0].model) else closed).append(one)
        ordered = self._policies[policy]
        return [target for each in (closed, opened) if each for target, _ in ordered(route, each)]

    def _drawn(self, route: str, weighed: Sequence[Weighed]) -> Sequence[Weighed]:
        """One by chance, then the others by weight, the heaviest first."""
        reached = list(accumulate(weight for _, weight in weighed))
        point = self._random() * reached[-1]
        first = next((index for index, end in enumerate(reached) if point < end), len(weighed) - 1)
        others = [*weighed[:first], *weighed[first + 1 :]]
        return [weighed[first], *sorted(others, key=lambda one: -one[1])]

    def _quickest(self, route: str, weighed: Sequence[Weighed]) -> Sequence[Weighed]:
        """By the time to the first token, the unknown ones last, but now and then one of them first."""
        known: list[tuple[float, Weighed]] = []
        unknown: list[Weighed] = []
        for one in weighed:
            seconds = self._first_token(one[0].provider, one[0].model)
            if seconds is None:
                unknown.append(one)
            else:
                known.append((seconds, one))
        ordered = [*(one for _, one in sorted(known, key=lambda pair: pair[0])), *unknown]
        if unknown and self._random() < EXPLORED:
            chosen = unknown[int(self._random() * len(unknown))]
            ordered.remove(chosen)
            return [chosen, *ordered]
        return ordered

    def _cheapest(self, route: str, weighed: Sequence[Weighed]) -> Sequence[Weighed]:
        return sorted(weighed, key=lambda one: self._price(one[0]))

    def _price(self, target: Target) -> tuple[bool, int]:
        """Of three tokens sent for each one produced, the usual mix; last where nobody knows."""
        rates = self._rates(target.provider, target.model)
        return (True, 0) if rates is None else (False, 3 * rates.input + rates.output)

    def _idlest(self, route: str, weighed: Sequence[Weighed]) -> Sequence[Weighed]:
        """By the calls under way; of those with as many, each goes first in turn."""
        turn = self._turns[route] = self._turns.get(route, -1) + 1
        rotated = turn % len(weighed)
        in_turn = [*weighed[rotated:], *weighed[:rotated]]
        return sorted(in_turn, key=lambda one: self._in_flight(one[0].provider, one[0].model))
