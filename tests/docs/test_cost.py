"""The figures of docs/cost.md: prices from the catalog, and the arithmetic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from math import floor

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.cost import cost, rates_at
from aimanager_server.catalog.model import Model, Rates
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.telemetry.metrics import Metrics
from tests.support.doc_blocks import code_blocks
from tests.support.paths import ROOT

RUNS = {("cost.md", "promql"): "test_the_query_uses_a_metric_and_its_types"}

PAGE = (ROOT / "docs" / "cost.md").read_text("utf-8")
CATALOG = Catalog.load()
TODAY = datetime(2026, 11, 27, 12, tzinfo=UTC)
INSTRUCTION, QUESTION, ANSWER = 2000, 100, 300


def model_of(model_id: str) -> Model:
    model = CATALOG.find(*model_id.split("/"))
    assert model is not None
    return model


def table(name: str) -> list[str]:
    """Return the rows between the comments with this name, without its head."""
    found = re.search(rf"<!-- {name}: .*?-->\n(.*?)<!-- /{name} -->", PAGE, re.DOTALL)
    assert found is not None
    return found[1].splitlines()[2:]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def dollars(nanos: int) -> str:
    """Return a price as it is usually written, with at least two decimal places."""
    exact = Decimal(nanos).scaleb(-9).normalize()
    return f"{exact:f}" if -int(exact.as_tuple().exponent) > 2 else f"{exact:.2f}"


def factor(price: int, rates: Rates) -> str:
    return f"{Decimal(price) / rates.input:.3g}".rstrip("0").rstrip(".") + "×"


def reads_before_it_pays(write: int, rates: Rates) -> int:
    """Return the fewest reads after which a write has cost less than the prompt would have without a cache."""
    return floor((write - rates.input) / (rates.input - rates.cache_read)) + 1


def price_rows() -> Iterator[str]:
    """Yield a row for each model that bills writes to its cache and is not about to end."""
    for model in CATALOG.models():
        spec = model.prompt_cache
        if spec is None or not spec.breakpoints or model.prices is None or model.retires is not None:
            continue
        rates = rates_at(model.prices, 0, TODAY)
        writes = (rates.cache_write, rates.long_cache_write)
        yield row(
            f"`{model.id}`",
            dollars(rates.input),
            *(factor(price, rates) for price in (*writes, rates.cache_read)),
            *(str(reads_before_it_pays(write, rates)) for write in writes),
            f"{spec.min_tokens:,}",
        )


def input_of_turn(turn: int) -> int:
    """Return the tokens of the prompt of a turn, counted from 1."""
    return INSTRUCTION + turn * QUESTION + (turn - 1) * ANSWER


def conversation_rows() -> Iterator[str]:
    model = model_of("claude/claude-opus-5-5")

    def nanos(usage: Usage) -> int:
        found = cost(model, usage, TODAY)
        assert found is not None
        return found.input_nanos

    for turns in (1, 2, 3, 5, 10, 20, 50):
        sizes = [input_of_turn(turn) for turn in range(1, turns + 1)]
        without = sum(nanos(Usage(size, source=UsageSource.REPORTED)) for size in sizes)
        marked = 0
        for before, size in zip([0, *sizes], sizes, strict=False):
            marked += nanos(Usage(size, 0, before, size - before, source=UsageSource.REPORTED))
        yield row(
            str(turns), *(f"{Decimal(total).scaleb(-9):.4f}" for total in (without, marked)),
            f"{round(100 * (without - marked) / without)} %",
        )  # fmt: skip


def test_the_prices_are_those_of_the_catalog() -> None:
    assert table("prices") == list(price_rows())


def test_a_conversation_costs_what_the_table_says() -> None:
    assert table("conversation") == list(conversation_rows())


@pytest.mark.parametrize("is_long", [False, True])
def test_the_formula_is_where_the_costs_cross(is_long: bool) -> None:
    for model in CATALOG.models():
        if model.prompt_cache is None or not model.prompt_cache.breakpoints or model.prices is None:
            continue
        rates = rates_at(model.prices, 0, TODAY)
        write = rates.long_cache_write if is_long else rates.cache_write
        reads = reads_before_it_pays(write, rates)

        assert write + reads * rates.cache_read < (reads + 1) * rates.input
        assert write + (reads - 1) * rates.cache_read >= reads * rates.input
        assert reads == (2 if is_long else 1)


def test_the_query_uses_a_metric_and_its_types() -> None:
    (block,) = code_blocks("cost.md", "promql")
    registry = Metrics(lambda provider, model: True).registry

    assert {sample for sample in re.findall(r"\b(aimanager_\w+)_total", block.text)} == {"aimanager_tokens"}
    assert "aimanager_tokens" in {metric.name for metric in registry.collect()}
