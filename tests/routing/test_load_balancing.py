"""Order of the targets of a route by policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from aimanager_server.catalog.model import Model, Rates
from aimanager_server.core.content import ReasoningOptions
from aimanager_server.routing.candidates import Candidate
from aimanager_server.routing.load_balancing import EXPLORATION_RATE, LoadBalancer
from aimanager_server.routing.model_names import ResolvedModel

NAMES = ("a", "b", "c")


def numbers(*given: float) -> Callable[[], float]:
    """Return these numbers in turn, then the last one repeatedly."""
    left = list(given)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


class BalancerFixture:
    """A load balancer over fixed data by model."""

    def __init__(
        self,
        first_token: Mapping[str, float] = {},
        in_flight: Mapping[str, int] = {},
        rates: Mapping[str, tuple[int, int]] = {},
        unavailable: Collection[str] = (),
        random: Callable[[], float] = lambda: 0.99,
    ) -> None:
        self.balancer = LoadBalancer(
            lambda provider, model: first_token.get(model),
            lambda provider, model: in_flight.get(model, 0),
            lambda model: Rates(*rates[model.id], 0, 0, 0) if model.id in rates else None,
            lambda provider, model: model in unavailable,
            random,
        )

    def order(self, policy: Any, *weights: int, route: str = "chat") -> str:
        """Return the models in order, as one string."""
        candidates = [
            Candidate(ResolvedModel(Model("p", name), name), ReasoningOptions(), weight)
            for name, weight in zip(NAMES, weights or (1, 1, 1), strict=True)
        ]
        return "".join(candidate.resolved.id for candidate in self.balancer(route, policy, candidates))


def test_priority_keeps_the_configured_order() -> None:
    assert BalancerFixture().order("priority") == "abc"


@pytest.mark.parametrize(
    ("drawn", "order"), [(0.0, "acb"), (0.19, "acb"), (0.2, "bca"), (0.39, "bca"), (0.4, "cab"), (0.99, "cab")]
)
def test_weights_draw_the_first_target_and_order_the_others(drawn: float, order: str) -> None:
    assert BalancerFixture(random=lambda: drawn).order("weighted", 2, 2, 6)[0] == order[0]
    assert BalancerFixture(random=lambda: drawn).order("weighted", 2, 2, 6) == order


def test_each_target_is_first_in_proportion_to_its_weight() -> None:
    steps = iter(range(1000))
    known = BalancerFixture(random=lambda: next(steps) / 1000)

    firsts = Counter(known.order("weighted", 7, 2, 1)[0] for _ in range(1000))

    assert firsts == {"a": 700, "b": 200, "c": 100}


def test_least_latency_orders_by_time_to_first_token_with_unknown_last() -> None:
    assert BalancerFixture(first_token={"a": 0.9, "c": 0.2}).order("least_latency") == "cab"


def test_exploration_puts_a_target_without_data_first() -> None:
    known = {"c": 0.2}

    assert BalancerFixture(known, random=numbers(EXPLORATION_RATE - 0.01, 0.5)).order("least_latency") == "bca"
    assert BalancerFixture(known, random=numbers(EXPLORATION_RATE - 0.01, 0.49)).order("least_latency") == "acb"
    assert BalancerFixture(known, random=numbers(EXPLORATION_RATE)).order("least_latency") == "cab"


def test_no_exploration_if_all_targets_have_data() -> None:
    assert BalancerFixture({"a": 3.0, "b": 2.0, "c": 1.0}, random=numbers(0.0)).order("least_latency") == "cba"


def test_configured_order_without_any_data() -> None:
    assert BalancerFixture().order("least_latency") == "abc"
    assert BalancerFixture().order("lowest_cost") == "abc"


def test_lowest_cost_assumes_three_input_tokens_per_output_token() -> None:
    assert BalancerFixture(rates={"a": (10, 40), "b": (20, 5), "c": (1, 50)}).order("lowest_cost") == "cba"


def test_unknown_price_is_last() -> None:
    assert BalancerFixture(rates={"b": (0, 0), "c": (10**12, 10**12)}).order("lowest_cost") == "bca"


def test_least_loaded_orders_by_calls_in_flight() -> None:
    assert BalancerFixture(in_flight={"a": 2, "b": 0, "c": 1}).order("least_loaded") == "bca"


def test_equally_loaded_targets_rotate_within_each_route() -> None:
    known = BalancerFixture(in_flight={"a": 1, "b": 1, "c": 1})

    found = [known.order("least_loaded", route=route) for route in ("x", "y", "x", "y", "x", "x")]

    assert found == ["abc", "abc", "bca", "bca", "cab", "abc"]


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        ("priority", "bca"),
        ("weighted", "cba"),
        ("least_latency", "cba"),
        ("lowest_cost", "bca"),
        ("least_loaded", "bca"),
    ],
)
def test_unavailable_target_is_last_with_every_policy(policy: str, order: str) -> None:
    best = BalancerFixture(first_token={"a": 0.1, "b": 0.3, "c": 0.2}, rates={"a": (1, 1)}, unavailable=("a",))

    assert best.order(policy) == order


def test_share_of_an_unavailable_target_goes_to_the_others_by_weight() -> None:
    steps = iter(range(100))
    known = BalancerFixture(random=lambda: next(steps) // 2 / 50, unavailable=("a",))

    firsts = Counter(known.order("weighted", 6, 3, 1)[0] for _ in range(50))

    assert firsts == {"b": 38, "c": 12}


def test_all_targets_unavailable_keeps_the_policy() -> None:
    assert BalancerFixture(in_flight={"a": 1}, unavailable=NAMES).order("least_loaded") == "bca"
