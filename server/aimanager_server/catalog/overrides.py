"""Apply the operator's facts about a model (`[models]`) over those of the catalog."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from ..config.models import ModelSettings, PriceSettings
from .loader import NANOS_PER_DOLLAR
from .model import Capability, Model, Prices, Rates, Support, SupportLevel


def apply_override(model: Model, override: ModelSettings) -> Model:
    """Return the model with the configured facts; a fact that is not configured keeps its value."""
    support = {Capability(name): Support(SupportLevel(level)) for name, level in override.capabilities.items()}
    return replace(
        model,
        name=override.name or model.name,
        context_window=override.context_window or model.context_window,
        max_output_tokens=override.max_output_tokens or model.max_output_tokens,
        capabilities=MappingProxyType({**model.capabilities, **support}),
        prices=model.prices if override.prices is None else Prices(_rates(override.prices)),
    )


def _rates(prices: PriceSettings) -> Rates:
    return Rates(
        input=_nanos(prices.input),
        output=_nanos(prices.output),
        cache_read=_nanos(prices.cache_read or prices.input),
        cache_write=_nanos(prices.cache_write or prices.input),
        long_cache_write=_nanos(prices.long_cache_write or prices.cache_write or prices.input),
    )


def _nanos(dollars: str) -> int:
    return int(Decimal(dollars) * NANOS_PER_DOLLAR)
