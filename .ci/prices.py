"""Compares the catalogue's prices with those of genai-prices and proposes rows; it changes nothing.

Usage: make prices [ARGS="openai"]. Exit code 1 where a price differs.
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

from aimanager_server.catalog.catalog import Catalogue, Model, Prices

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
# Their moments are chosen by our rule: a Friday at ten in Beijing, when DeepSeek charges its full price.
AT = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
NANOS = 1_000_000_000

Row = dict[str, Decimal]


def their_models(provider: str) -> list[ModelInfo]:
    """Their rows for one of our providers."""
    return next(known.models for known in data.providers if known.id == THEIRS[provider])


def their_row(model: Model) -> Row | None:
    """What they charge for one of ours; None where they do not know it."""
    found = next((theirs for theirs in their_models(model.provider) if theirs.is_match(model.id)), None)
    return row_of(found) if found is not None and found.prices else None


def row_of(theirs: ModelInfo) -> Row:
    """Their prices in our columns, without long-context tiers."""
    prices: ModelPrice = theirs.get_prices(AT)
    found: dict[str, Any] = {ours: getattr(prices, name, None) for ours, name in COLUMNS.items()}
    return {ours: getattr(price, "base", price) for ours, price in found.items() if price is not None}


def our_row(prices: Prices) -> Row:
    """Our prices in dollars."""
    return {column: Decimal(getattr(prices.standard, column)) / NANOS for column in COLUMNS}


def written(row: Row) -> str:
    """A row as the catalogue spells it."""
    cells = ", ".join(f'{column} = "{price.normalize():f}"' for column, price in row.items())
    return f"prices = {{ {cells} }}"


def differences(model: Model) -> Iterator[str]:
    """What to look at in one of our rows."""
    theirs = their_row(model)
    name = f"{model.provider}/{model.id}"
    if theirs is None:
        yield f"{name}: not in genai-prices"
    elif model.prices is None:
        yield f"{name}: no price here, proposed: {written(theirs)}"
    else:
        ours = our_row(model.prices)
        changed = [column for column, price in theirs.items() if ours[column] != price]
        for column in changed:
            yield f"{name}: {column} is {ours[column].normalize():f} here and {theirs[column].normalize():f} there"
        if changed:
            yield f"{name}: proposed: {written(theirs)}"


def main(providers: list[str]) -> int:
    """Print what differs."""
    catalogue = Catalogue.load()
    models = [model for provider in providers or list(THEIRS) for model in catalogue.models(provider)]
    lines = [line for model in models for line in differences(model)]
    print("\n".join(lines) or "All prices agree.")
    return 1 if any("proposed" in line for line in lines) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
