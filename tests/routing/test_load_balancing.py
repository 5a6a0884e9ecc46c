"""Which of a route's targets is asked first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from aimanager_server.catalog.model import Rates
from aimanager_server.core.request import Target
from aimanager_server.routing.load_balancing import EXPLORED, Routing

NAMES = ("a", "b", "c")


def numbers(*given: float) -> Callable[[], float]:
    """These in turn, the last one for ever."""
    left = list(given)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


class Known:
    """What is known of targets, by model."""

    def __init__(
        self,
        first_token: Mapping[str, float] = {},
        in_flight: Mapping[str, int] = {},
        rates: Mapping[str, tuple[int, int]] = {},
        down: Collection[str] = (),
        random: Callable[[], float] = lambda: 0.99,
    ) -> None:
        self.routing = Routing(
            lambda provider, model: first_token.get(model),
            lambda provider, model: in_flight.get(model, 0),
            lambda provider, model: Rates(*rates[model], 0, 0) if model in rates else None,
            lambda provider, model: model in down,
            random,
        )

    def order(self, policy: Any, *weights: int, route: str = "chat") -> str:
        """The models as they are asked."""
        weighed = [(Target("p", name), weight) for name, weight in zip(NAMES, weights or (1, 1, 1), strict=True)]
        return "".join(target.model for target in self.routing(route, policy, weighed))


def test_priority_is_the_order_of_the_list() -> None:
    assert Known().order("priority") == "abc"


@pytest.mark.parametrize(
    ("drawn", "order"), [(0.0, "acb"), (0.19, "acb"), (0.2, "bca"), (0.39, "bca"), (0.4, "cab"), (0.99, "cab")]
)
def test_weights_draw_the_first_and_order_the_others(drawn: float, order: str) -> None:
    assert Known(random=lambda: drawn).order("weighted", 2, 2, 6)[0] == order[0]
    assert Known(random=lambda: drawn).order("weighted", 2, 2, 6) == order


def test_over_many_calls_each_is_first_in_its_share() -> None:
    steps = iter(range(1000))
    known = Known(random=lambda: next(steps) / 1000)

    firsts = Counter(known.order("weighted", 7, 2, 1)[0] for _ in range(1000))

    assert firsts == {"a": 700, "b": 200, "c": 100}


def test_the_quickest_to_begin_is_first_and_the_unknown_last() -> None:
    assert Known(first_token={"a": 0.9, "c": 0.2}).order("least_latency") == "cab"


def test_now_and_then_an_unknown_one_is_first() -> None:
    known = {"c": 0.2}

    assert Known(known, random=numbers(EXPLORED - 0.01, 0.5)).order("least_latency") == "bca"
    assert Known(known, random=numbers(EXPLORED - 0.01, 0.49)).order("least_latency") == "acb"
    assert Known(known, random=numbers(EXPLORED)).order("least_latency") == "cab"


def test_where_all_are_known_nobody_is_explored() -> None:
    assert Known({"a": 3.0, "b": 2.0, "c": 1.0}, random=numbers(0.0)).order("least_latency") == "cba"


def test_where_nothing_is_known_the_list_counts() -> None:
    assert Known().order("least_latency") == "abc"
    assert Known().order("lowest_cost") == "abc"


def test_the_cheapest_is_first_at_three_tokens_sent_for_one_produced() -> None:
    assert Known(rates={"a": (10, 40), "b": (20, 5), "c": (1, 50)}).order("lowest_cost") == "cba"


def test_a_price_nobody_knows_is_last_even_behind_a_high_one() -> None:
    assert Known(rates={"b": (0, 0), "c": (10**12, 10**12)}).order("lowest_cost") == "bca"


def test_the_one_with_the_fewest_calls_is_first() -> None:
    assert Known(in_flight={"a": 2, "b": 0, "c": 1}).order("least_loaded") == "bca"


def test_those_with_as_many_calls_take_turns_in_each_route() -> None:
    known = Known(in_flight={"a": 1, "b": 1, "c": 1})

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
def test_who_is_down_goes_last_by_every_policy(policy: str, order: str) -> None:
    best = Known(first_token={"a": 0.1, "b": 0.3, "c": 0.2}, rates={"a": (1, 1)}, down=("a",))

    assert best.order(policy) == order


def test_who_is_down_leaves_its_share_to_the_others_by_weight() -> None:
    steps = iter(range(100))
    known = Known(random=lambda: next(steps) // 2 / 50, down=("a",))

    firsts = Counter(known.order("weighted", 6, 3, 1)[0] for _ in range(50))

    assert firsts == {"b": 38, "c": 12}


def test_where_all_are_down_they_are_asked_as_ever() -> None:
    assert Known(in_flight={"a": 1}, down=NAMES).order("least_loaded") == "bca"
