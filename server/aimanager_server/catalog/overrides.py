"""Lays what an operator knows better over a row of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Protocol

from .loader import NANOS
from .model import Capability, Level, Model, Prices, Rates, Support


class PriceCorrection(Protocol):
    """US dollars per million tokens, as text."""

    @property
    def input(self) -> str:
        """Tokens sent."""
        ...

    @property
    def output(self) -> str:
        """Tokens produced."""
        ...

    @property
    def cache_read(self) -> str | None:
        """Tokens read from the prompt cache; None: as those sent."""
        ...

    @property
    def cache_write(self) -> str | None:
        """Tokens written to the prompt cache; None: as those sent."""
        ...


class Correction(Protocol):
    """Facts of one model; what is None or absent stays."""

    @property
    def name(self) -> str | None:
        """Its name for people."""
        ...

    @property
    def context_window(self) -> int | None:
        """In tokens."""
        ...

    @property
    def max_output(self) -> int | None:
        """In tokens."""
        ...

    @property
    def capabilities(self) -> Mapping[Any, str]:
        """Levels by capability, both by name."""
        ...

    @property
    def prices(self) -> PriceCorrection | None:
        """They replace every price, those of other lengths and hours included."""
        ...


def corrected(model: Model, correction: Correction) -> Model:
    """The model with those facts in place of its own."""
    support = {Capability(name): Support(Level(level)) for name, level in correction.capabilities.items()}
    prices = correction.prices
    return replace(
        model,
        name=correction.name or model.name,
        context_window=correction.context_window or model.context_window,
        max_output=correction.max_output or model.max_output,
        capabilities=MappingProxyType({**model.capabilities, **support}),
        prices=model.prices if prices is None else Prices(_rates(prices)),
    )


def _rates(prices: PriceCorrection) -> Rates:
    return Rates(
        input=_nanos(prices.input),
        output=_nanos(prices.output),
        cache_read=_nanos(prices.cache_read or prices.input),
        cache_write=_nanos(prices.cache_write or prices.input),
    )


def _nanos(dollars: str) -> int:
    return int(Decimal(dollars) * NANOS)
