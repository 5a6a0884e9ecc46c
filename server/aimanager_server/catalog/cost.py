"""Compute the cost of an answer in integers. Money is never a float."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone

from ..core.usage import Cost, Usage, UsageSource
from .catalog import Catalog
from .model import Model, Prices, Rates

TOKENS_PER_RATE = 1_000_000
"""Rates are prices per million tokens."""

BEIJING = timezone(timedelta(hours=8))

PEAK_HOURS = ((time(9), time(12)), (time(14), time(18)))
"""DeepSeek's peak hours on Beijing workdays; starts are inclusive, ends exclusive.

Public holidays count as workdays, which can only overestimate the cost.
https://api-docs.deepseek.com/quick_start/pricing, 22 November 2026."""

SATURDAY = 5


class PriceList:
    """Price usage by provider and model at the current time."""

    def __init__(self, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._find = catalog.find
        self._now = now

    def __call__(self, provider: str, model: str, usage: Usage) -> Cost | None:
        """Return the cost of the usage at the current time; None if the model or its price is unknown."""
        found = self._find(provider, model)
        return cost(found, usage, self._now()) if found is not None else None

    def rates(self, model: Model) -> Rates | None:
        """Return the current rates of a short prompt; None if the price is unknown."""
        return rates_at(model.prices, 0, self._now()) if model.prices is not None else None


def cost(model: Model, usage: Usage, at: datetime) -> Cost | None:
    """Return the cost of the usage at a time, which must have a time zone.

    None if the price is unknown or the tokens were not counted; a cost of zero would be wrong.
    """
    if model.prices is None or usage.source is UsageSource.MISSING:
        return None
    rates = rates_at(model.prices, usage.input_tokens, at)
    uncached_tokens = max(usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens, 0)
    input_cost = (
        uncached_tokens * rates.input
        + usage.cache_read_tokens * rates.cache_read
        + (usage.cache_write_tokens - usage.long_cache_write_tokens) * rates.cache_write
        + usage.long_cache_write_tokens * rates.long_cache_write
    )
    return Cost(
        _divide_half_even(input_cost, TOKENS_PER_RATE),
        _divide_half_even(usage.output_tokens * rates.output, TOKENS_PER_RATE),
        currency=model.prices.currency,
        estimated=True,
    )


def rates_at(prices: Prices, input_tokens: int, at: datetime) -> Rates:
    """Return the rates of a prompt of this length at this time."""
    if prices.scheduled is not None and at.astimezone(UTC).date() >= prices.scheduled_from:
        return prices.scheduled
    if prices.long_context is not None and input_tokens > prices.long_context_above:
        return prices.long_context
    if prices.off_peak is not None and not is_peak(at):
        return prices.off_peak
    return prices.standard


def is_peak(at: datetime) -> bool:
    """Return whether DeepSeek charges its peak price.

    >>> from datetime import UTC
    >>> is_peak(datetime(2026, 11, 20, 1, 0, tzinfo=UTC)), is_peak(datetime(2026, 11, 20, 4, 0, tzinfo=UTC))
    (True, False)
    """
    local = at.astimezone(BEIJING)
    return local.weekday() < SATURDAY and any(start <= local.time() < end for start, end in PEAK_HOURS)


def _divide_half_even(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    doubled = 2 * remainder
    return quotient + (doubled > denominator or (doubled == denominator and quotient % 2 == 1))
