"""Compare the prices of the catalog with those of genai-prices and propose changes, without writing them.

Usage: make prices [ARGS="openai"]. Exits with 1 if a price differs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices import data
from genai_prices.types import ModelInfo, ModelPrice

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Model, Prices

THEIRS = {
    **{"claude": "anthropic", "openai": "openai", "deepseek": "deepseek", "gemini": "google"},
    **{"mistral": "mistral", "xai": "x-ai", "groq": "groq"},
}
COLUMNS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}
# A Friday at ten in Beijing, when DeepSeek charges its full price, as the catalog does.
AT = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
NANOS = 1_000_000_000

Row = dict[str, Decimal]


def their_models(provider: str) -> list[ModelInfo]:
    """Return the genai-prices models of one of our providers."""
    return next(known.models for known in data.providers if known.id == THEIRS[provider])


def their_row(model: Model) -> Row | None:
    """Return the genai-prices row of one of our models, None if unknown."""
    found = next((theirs for theirs in their_models(model.provider) if theirs.is_match(model.id)), None)
    return row_of(found) if found is not None and found.prices else None


def row_of(theirs: ModelInfo) -> Row:
    """Return the prices in our columns, without long-context tiers."""
    prices: ModelPrice = theirs.get_prices(AT)
    found: dict[str, Any] = {ours: getattr(prices, name, None) for ours, name in COLUMNS.items()}
    return {ours: getattr(price, "base", price) for ours, price in found.items() if price is not None}


def our_row(prices: Prices) -> Row:
    """Return our prices in dollars."""
    return {column: Decimal(getattr(prices.standard, column)) / NANOS for column in COLUMNS}


def to_toml(row: Row) -> str:
    """Format a row as in the catalog."""
    cells = ", ".join(f'{column} = "{price.normalize():f}"' for column, price in row.items())
    return f"prices = {{ {cells} }}"


def differences(model: Model) -> Iterator[str]:
    """Yield a line for each difference between our row of a model and theirs."""
    theirs = their_row(model)
    name = f"{model.provider}/{model.id}"
    if theirs is None:
        yield f"{name}: not in genai-prices"
    elif model.prices is None:
        yield f"{name}: no price in the catalog, proposed: {to_toml(theirs)}"
    else:
        ours = our_row(model.prices)
        changed = [column for column, price in theirs.items() if ours[column] != price]
        for column in changed:
            our_price, their_price = ours[column].normalize(), theirs[column].normalize()
            yield f"{name}: {column} is {our_price:f} in the catalog, {their_price:f} in genai-prices"
        if changed:
            yield f"{name}: proposed: {to_toml(theirs)}"


def main(providers: list[str]) -> int:
    """Print the differences and return the exit code."""
    catalog = Catalog.load()
    models = [model for provider in providers or list(THEIRS) for model in catalog.models(provider)]
    lines = [line for model in models for line in differences(model)]
    print("\n".join(lines) or "All prices are equal.")
    return 1 if any("proposed" in line for line in lines) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
