"""What an answer costs, in integers: money is never a float."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone
from functools import lru_cache

from ..core.usage import Cost, Usage, UsageSource
from .catalog import Catalogue
from .model import Model, Prices, Rates

TOKENS = 1_000_000
"""Rates are per so many tokens."""

BEIJING = timezone(timedelta(hours=8))

PEAK_HOURS = ((time(9), time(12)), (time(14), time(18)))
"""DeepSeek's, on Beijing workdays, beginnings included and ends not. Public holidays are taken for workdays, which
errs on the dear side. https://api-docs.deepseek.com/quick_start/pricing, 22 November 2026."""

SATURDAY = 5


class PriceList:
    """Prices answers as they arrive."""

    def __init__(self, catalogue: Catalogue, now: Callable[[], datetime]) -> None:
        self._find = lru_cache(maxsize=1000)(catalogue.find)
        self._now = now

    def __call__(self, provider: str, model: str, usage: Usage) -> Cost | None:
        """What it costs now; None where the model or its price is not known."""
        found = self._find(provider, model)
        return cost(found, usage, self._now()) if found is not None else None

    def rates(self, provider: str, model: str) -> Rates | None:
        """What a short prompt is charged by now; None where the model or its price is not known."""
        found = self._find(provider, model)
        return rates_at(found.prices, 0, self._now()) if found is not None and found.prices is not None else None


def cost(model: Model, usage: Usage, at: datetime) -> Cost | None:
    """What the usage costs at a moment, which must be aware of its time zone.

    None where the price is not known or nobody counted: a guess of zero would be a lie. Cache writes are priced as
    the short-lived ones.
    """
    if model.prices is None or usage.source is UsageSource.MISSING:
        return None
    rates = rates_at(model.prices, usage.input_tokens, at)
    fresh = max(usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens, 0)
    sent = (
        fresh * rates.input + usage.cache_read_tokens * rates.cache_read + usage.cache_write_tokens * rates.cache_write
    )
    return Cost(
        _half_even(sent, TOKENS),
        _half_even(usage.output_tokens * rates.output, TOKENS),
        currency=model.prices.currency,
        estimated=True,
    )


def rates_at(prices: Prices, input_tokens: int, at: datetime) -> Rates:
    """The rates for a prompt of that length at that moment."""
    if prices.later is not None and at.astimezone(UTC).date() >= prices.later_from:
        return prices.later
    if prices.long is not None and input_tokens > prices.long_above:
        return prices.long
    if prices.off_peak is not None and not is_peak(at):
        return prices.off_peak
    return prices.standard


def is_peak(at: datetime) -> bool:
    """Whether DeepSeek charges its full price.

    >>> from datetime import UTC
    >>> is_peak(datetime(2026, 11, 20, 1, 0, tzinfo=UTC)), is_peak(datetime(2026, 11, 20, 4, 0, tzinfo=UTC))
    (True, False)
    """
    local = at.astimezone(BEIJING)
    return local.weekday() < SATURDAY and any(begin <= local.time() < end for begin, end in PEAK_HOURS)


def _half_even(numerator: int, denominator: int) -> int:
    quotient, rest = divmod(numerator, denominator)
    doubled = 2 * rest
    return quotient + (doubled > denominator or (doubled == denominator and quotient % 2 == 1))
