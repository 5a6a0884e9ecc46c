"""docs/metrics.md matches the metrics that the server exports, and its queries use them correctly."""

from __future__ import annotations

import re

import pytest

from aimanager_server.commands.reference.markdown import fill
from aimanager_server.commands.reference.metrics import metrics, metrics_parts
from aimanager_server.telemetry.metrics import OTHER, Metrics
from tests.support.doc_blocks import DOCS, CodeBlock, code_blocks

RUNS = {("metrics.md", "promql"): "test_query_uses_existing_series_and_labels"}

PAGE = (DOCS / "metrics.md").read_text("utf-8")
LABELS = {name: {*metric.labels, "le"} for metric in metrics() for name in metric.series}
"""Labels by the name of a time series."""


def test_the_tables_are_up_to_date() -> None:
    assert fill(PAGE, metrics_parts()) == PAGE, "run 'make docs'"


def test_every_exported_metric_is_on_the_page() -> None:
    exported = {family.name for family in Metrics(lambda *_: True).registry.collect()}

    assert exported == {metric.name for metric in metrics()}


def test_the_values_of_every_label_are_described() -> None:
    described = set(re.findall(r"^\| `(\w+)`(?: of `(\w+)`)? \|", PAGE, re.MULTILINE))
    used = {(label, name) for name, labels in LABELS.items() for label in labels - {"le"}}

    assert {(label, name) for label, name in used if not described & {(label, ""), (label, name)}} == set()
    assert f"`{OTHER}`" in PAGE


@pytest.mark.parametrize("block", code_blocks("metrics.md", "promql"), ids=str)
def test_query_uses_existing_series_and_labels(block: CodeBlock) -> None:
    series = set(re.findall(r"\b(?:aimanager|rpc)_\w+", block.text))
    grouped = {label.strip() for by in re.findall(r"\bby \(([^)]*)\)", block.text) for label in by.split(",")}

    assert series
    assert series <= LABELS.keys()
    for name in series:
        selectors = "".join(re.findall(rf"{name}{{([^}}]*)}}", block.text))
        assert grouped | set(re.findall(r"(\w+)!?=~?\"", selectors)) <= LABELS[name]
    assert block.text.count("(") == block.text.count(")")
