"""Money: every expected number here was worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aimanager_server.catalogue import Catalogue, Model, Prices, Rates
from aimanager_server.pricing import PriceList, cost, is_peak
from aimanager_server.reply import Cost, Usage, UsageSource

CATALOGUE = Catalogue.load()
FRIDAY_PEAK = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
FRIDAY_NIGHT = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
DOLLAR = 1_000_000_000


def used(sent: int, produced: int, read: int = 0, written: int = 0) -> Usage:
    return Usage(sent, produced, read, written, source=UsageSource.REPORTED)


GOLDEN = [
    # Opus 5.5: 4 / 20 / 0.20 / 5
    ("claude", "claude-opus-5-5", used(1_000_000, 1_000_000), 4 * DOLLAR, 20 * DOLLAR),
    ("claude", "claude-opus-5-5", used(1, 1), 4_000, 20_000),
    ("claude", "claude-opus-5-5", used(1000, 100, read=900), 400_000 + 180_000, 2_000_000),
    ("claude", "claude-opus-5-5", used(1000, 0, written=1000), 5_000_000, 0),
    ("claude", "claude-opus-5-5", used(1000, 0, read=300, written=200), 2_000_000 + 60_000 + 1_000_000, 0),
    ("claude", "claude-opus-4-5-20251101", used(200, 30), 1_000_000, 750_000),
    # Haiku 5.5: 0.10 / 0.50 / 0.01 / 0.125, five times that above 100,000 tokens of input
    ("claude", "claude-haiku-5-5", used(100_000, 1000), 10_000_000, 500_000),
    ("claude", "claude-haiku-5-5", used(100_001, 1000), 50_000_500, 2_500_000),
    ("claude", "claude-haiku-5-5", used(200_000, 0, read=100_000), 50_000_000 + 5_000_000, 0),
    # Sonnet 4.5: 3 / 15 / 0.3 / 3.75
    ("claude", "claude-sonnet-4-5", used(7, 3, written=7), 26_250, 45_000),
    # gpt-6.2-sol: 2 / 10 / 0.10 / 2.5, twice and one and a half times that above 272,000
    ("openai", "gpt-6.2-sol", used(272_000, 1000), 544_000_000, 10_000_000),
    ("openai", "gpt-6.2-sol", used(272_001, 1000), 1_088_004_000, 15_000_000),
    (
        "openai",
        "gpt-6.2-sol",
        used(300_000, 0, read=200_000, written=50_000),
        200_000_000 + 40_000_000 + 250_000_000,
        0,
    ),
    # gpt-5.4-nano: 0.2 / 1.25 / 0.02, writes are not charged apart; half a billionth goes to the even neighbour
    ("openai", "gpt-5.4-nano", used(10, 10, written=10), 2_000, 12_500),
    ("openai", "gpt-5", used(10, 10, read=1), 9 * 1_250 + 125, 100_000),
    # A pro model without a cache price: what is read costs as much as what is sent
    ("openai", "gpt-5.4-pro", used(100, 0, read=50), 3_000_000, 0),
    ("openai", "gpt-4o-2024-11-20", used(4, 4), 10_000, 40_000),
    # Made up, and exact
    ("mock", "mock-large", used(3, 2), 12_000, 40_000),
    ("mock", "mock-small", used(1, 1), 100, 500),
    # Nothing was used, and that is known
    ("claude", "claude-opus-5-5", used(0, 0), 0, 0),
    # A server that counts more cached than sent: nothing is negative
    ("claude", "claude-opus-5-5", used(10, 0, read=20), 4_000, 0),
]


@pytest.mark.parametrize(("provider", "model", "usage", "sent", "produced"), GOLDEN)
def test_the_price_is_that_of_the_table(provider: str, model: str, usage: Usage, sent: int, produced: int) -> None:
    found = CATALOGUE.find(provider, model)

    assert found is not None
    assert cost(found, usage, FRIDAY_PEAK) == Cost(sent, produced, "USD", estimated=True)


@pytest.mark.parametrize(
    ("at", "sent", "produced"),
    [
        # deepseek-flash at peak: 0.30 / 1.20 / 0.006; half of that otherwise
        (FRIDAY_PEAK, 270_000 + 600, 1_200_000),
        (FRIDAY_NIGHT, 135_000 + 300, 600_000),
    ],
)
def test_deepseek_is_cheaper_outside_peak_hours(at: datetime, sent: int, produced: int) -> None:
    flash = CATALOGUE.find("deepseek", "deepseek-flash")

    assert flash is not None
    assert cost(flash, used(1000, 1000, read=100), at) == Cost(sent, produced)


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
