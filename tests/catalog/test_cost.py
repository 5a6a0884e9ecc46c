"""The cost of usage. All expected amounts were computed by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.cost import PriceList, cost, is_peak
from aimanager_server.catalog.model import Model, Prices, Rates
from aimanager_server.core.usage import Cost, Usage
from tests.support.golden_prices import FRIDAY_NIGHT, FRIDAY_PEAK, GOLDEN, GoldenCost, used

CATALOG = Catalog.load()


def model_of(golden: GoldenCost) -> Model:
    model = CATALOG.find(*golden.model.split("/", 1))
    assert model is not None
    return model


def test_costs_match_the_golden_table() -> None:
    expected = [Cost(golden.sent, golden.produced, "USD", estimated=True) for golden in GOLDEN]

    costs = [cost(found, golden.usage, golden.at) for golden in GOLDEN for found in [model_of(golden)]]

    wrong = [(golden, actual) for golden, actual, right in zip(GOLDEN, costs, expected, strict=True) if actual != right]
    assert wrong == []


def test_golden_table_covers_every_provider_and_price_rule() -> None:
    models = [(golden, model_of(golden)) for golden in GOLDEN]
    prices = [(golden, model.prices) for golden, model in models if model.prices]

    assert len(GOLDEN) == len(prices) >= 40
    assert {model.provider for model in CATALOG.models()} == {model.provider for _, model in models}
    assert any(golden.usage.cache_read_tokens and golden.usage.cache_write_tokens for golden in GOLDEN)
    assert any(golden.usage.reasoning_tokens for golden in GOLDEN)
    assert any(price.long_context and golden.usage.input_tokens > price.long_context_above for golden, price in prices)
    assert any(price.off_peak and not is_peak(golden.at) for golden, price in prices)
    assert any(price.scheduled and golden.at.date() >= price.scheduled_from for golden, price in prices)
    assert {model.provider for _, model in models if model.embedding} >= {"openai", "gemini"}


@pytest.mark.parametrize(
    ("hour", "minute", "day", "peak"),
    [
        (0, 59, 20, False),
        (1, 0, 20, True),  # 09:00 in Beijing
        (3, 59, 20, True),
        (4, 0, 20, False),
        (5, 59, 20, False),
        (6, 0, 20, True),  # 14:00 in Beijing
        (9, 59, 20, True),
        (10, 0, 20, False),
        (2, 0, 21, False),  # Saturday
        (2, 0, 22, False),  # Sunday
        (2, 0, 23, True),  # Monday
    ],
)
def test_peak_hours_are_on_beijing_workdays(hour: int, minute: int, day: int, peak: bool) -> None:
    assert is_peak(datetime(2026, 11, day, hour, minute, tzinfo=UTC)) is peak


def test_peak_hours_do_not_depend_on_the_time_zone_of_the_argument() -> None:
    assert is_peak(FRIDAY_PEAK.astimezone(timezone(timedelta(hours=-8))))


@pytest.mark.parametrize(
    ("tokens", "rate", "nanos"),
    [
        (1, 500_000, 0),  # 0.5 → 0
        (3, 500_000, 2),  # 1.5 → 2
        (5, 500_000, 2),  # 2.5 → 2
        (1, 500_001, 1),
        (1, 499_999, 0),
        (7, 1_500_000, 10),  # 10.5 → 10
    ],
)
def test_each_component_is_rounded_once_half_to_even(tokens: int, rate: int, nanos: int) -> None:
    model = Model("x", "y", prices=Prices(Rates(rate, rate, rate, rate, rate)))

    assert cost(model, used(tokens, tokens), FRIDAY_PEAK) == Cost(nanos, nanos)


def test_input_components_are_rounded_together() -> None:
    model = Model("x", "y", prices=Prices(Rates(400_000, 0, 400_000, 400_000, 400_000)))

    found = cost(model, used(3, 0, read=1, written=1), FRIDAY_PEAK)

    assert found is not None
    assert found.input_nanos == 1


def test_unknown_price_has_no_cost() -> None:
    mythos = CATALOG.find("claude", "claude-mythos-5")

    assert mythos is not None
    assert cost(mythos, used(10, 10), FRIDAY_PEAK) is None


def test_missing_usage_has_no_cost() -> None:
    opus = CATALOG.find("claude", "claude-opus-5-5")

    assert opus is not None
    assert cost(opus, Usage(10, 10), FRIDAY_PEAK) is None


def test_price_list_uses_the_current_time() -> None:
    prices = PriceList(CATALOG, lambda: FRIDAY_NIGHT)

    assert prices("deepseek", "deepseek-v4-pro", used(1000, 1000)) == Cost(660_000, 1_980_000)
    assert prices("nobody", "knows", used(1, 1)) is None


def test_price_list_returns_the_current_rates() -> None:
    found = CATALOG.find("deepseek", "deepseek-v4-pro")
    assert found is not None
    assert found.prices is not None

    night, peak = PriceList(CATALOG, lambda: FRIDAY_NIGHT), PriceList(CATALOG, lambda: FRIDAY_PEAK)

    assert night.rates(found) == found.prices.off_peak
    assert peak.rates(found) == found.prices.standard
    assert peak.rates(Model("nobody", "knows")) is None
