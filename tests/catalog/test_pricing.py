"""Money: every expected number here was worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aimanager_server.catalog.catalog import Catalogue, Model, Prices, Rates
from aimanager_server.catalog.pricing import PriceList, cost, is_peak
from aimanager_server.core.usage import Cost, Usage
from tests.support.golden_prices import FRIDAY_NIGHT, FRIDAY_PEAK, GOLDEN, Golden, used

CATALOGUE = Catalogue.load()


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.model)
def test_the_price_is_that_of_the_table(golden: Golden) -> None:
    provider, _, model = golden.model.partition("/")

    found = CATALOGUE.find(provider, model)

    assert found is not None
    assert cost(found, golden.usage, golden.at) == Cost(golden.sent, golden.produced, "USD", estimated=True)


def test_every_provider_and_every_way_to_be_charged_is_worked_out() -> None:
    models = [(golden, found) for golden in GOLDEN if (found := CATALOGUE.find(*golden.model.split("/", 1)))]
    prices = [(golden, found.prices) for golden, found in models if found.prices]

    assert len(GOLDEN) == len(prices) >= 40
    assert {model.provider for model in CATALOGUE.models()} == {found.provider for _, found in models}
    assert any(golden.usage.cache_read_tokens and golden.usage.cache_write_tokens for golden in GOLDEN)
    assert any(golden.usage.reasoning_tokens for golden in GOLDEN)
    assert any(price.long and golden.usage.input_tokens > price.long_above for golden, price in prices)
    assert any(price.off_peak and not is_peak(golden.at) for golden, price in prices)
    assert any(price.later and golden.at.date() >= price.later_from for golden, price in prices)
    assert {found.provider for _, found in models if found.embedding} >= {"openai", "gemini"}


@pytest.mark.parametrize(
    ("hour", "minute", "day", "peak"),
    [
        (0, 59, 20, False),
        (1, 0, 20, True),  # nine in Beijing
        (3, 59, 20, True),
        (4, 0, 20, False),
        (5, 59, 20, False),
        (6, 0, 20, True),  # two in the afternoon
        (9, 59, 20, True),
        (10, 0, 20, False),
        (2, 0, 21, False),  # Saturday
        (2, 0, 22, False),  # Sunday
        (2, 0, 23, True),  # Monday
    ],
)
def test_peak_hours_are_those_of_beijing_workdays(hour: int, minute: int, day: int, peak: bool) -> None:
    assert is_peak(datetime(2026, 11, day, hour, minute, tzinfo=UTC)) is peak


def test_the_hour_does_not_depend_on_the_zone_it_is_told_in() -> None:
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
    model = Model("x", "y", prices=Prices(Rates(rate, rate, rate, rate)))

    assert cost(model, used(tokens, tokens), FRIDAY_PEAK) == Cost(nanos, nanos)


def test_the_parts_of_the_input_are_rounded_together() -> None:
    model = Model("x", "y", prices=Prices(Rates(input=400_000, output=0, cache_read=400_000, cache_write=400_000)))

    found = cost(model, used(3, 0, read=1, written=1), FRIDAY_PEAK)

    assert found is not None
    assert found.input_nanos == 1


def test_an_unknown_price_is_no_cost_at_all() -> None:
    mythos = CATALOGUE.find("claude", "claude-mythos-5")

    assert mythos is not None
    assert cost(mythos, used(10, 10), FRIDAY_PEAK) is None


def test_tokens_that_nobody_counted_have_no_cost() -> None:
    opus = CATALOGUE.find("claude", "claude-opus-5-5")

    assert opus is not None
    assert cost(opus, Usage(10, 10), FRIDAY_PEAK) is None


def test_the_price_list_prices_by_name_and_clock() -> None:
    prices = PriceList(CATALOGUE, lambda: FRIDAY_NIGHT)

    assert prices("deepseek", "deepseek-v4-pro", used(1000, 1000)) == Cost(660_000, 1_980_000)
    assert prices("nobody", "knows", used(1, 1)) is None


def test_the_price_list_tells_the_rates_of_the_moment() -> None:
    found = CATALOGUE.find("deepseek", "deepseek-v4-pro")
    assert found is not None
    assert found.prices is not None

    night, peak = PriceList(CATALOGUE, lambda: FRIDAY_NIGHT), PriceList(CATALOGUE, lambda: FRIDAY_PEAK)

    assert night.rates("deepseek", "deepseek-v4-pro") == found.prices.off_peak
    assert peak.rates("deepseek", "deepseek-v4-pro") == found.prices.standard
    assert peak.rates("nobody", "knows") is None
