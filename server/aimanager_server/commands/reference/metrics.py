"""Generate the tables of docs/metrics.md from the metrics that the server declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from ...telemetry.metrics import Metrics
from .markdown import table

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
"""What Prometheus appends to the name of a metric, by its type."""


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """A metric as Prometheus sees it. `buckets` are the upper bounds of a histogram, without infinity."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Return the names of its time series."""
        return tuple(f"{self.name}{suffix}" for suffix in SUFFIXES[self.kind])


def metrics() -> list[MetricFacts]:
    """Return every metric in the order of its declaration."""
    declared = Metrics(lambda provider, model: True)
    parts = (declared, declared.response_cache, declared.extensions)
    values = [value for part in parts for value in vars(part).values()]
    # A metric that is bound to label values is not another metric.
    return [_facts(one) for one in values if isinstance(one, MetricWrapperBase) and not one._labelvalues]


def metrics_parts() -> dict[str, str]:
    """Return the generated parts of docs/metrics.md by name."""
    rows = [[_name(metric), metric.kind, _codes(metric.labels), metric.meaning] for metric in metrics()]
    buckets = [
        [f"`{metric.name}`", ", ".join(f"{bound:g}" if bound < 1e6 else f"{bound:.0f}" for bound in metric.buckets)]
        for metric in metrics()
        if metric.buckets
    ]
    return {
        "metrics": table(["metric", "type", "labels", "meaning"], rows),
        "buckets": table(["histogram", "upper bounds"], buckets),
    }


def _facts(metric: MetricWrapperBase) -> MetricFacts:
    family = next(iter(metric.describe()))
    # prometheus_client has no public accessor for label names.
    labels = tuple(metric._labelnames)
    return MetricFacts(family.name, family.type, labels, family.documentation, tuple(_buckets(metric, labels)))


def _buckets(metric: MetricWrapperBase, labels: tuple[str, ...]) -> Iterator[float]:
    child = metric.labels(*labels) if labels else metric
    for family in child.collect():
        for sample in family.samples:
            if sample.labels.get("le", "+Inf") != "+Inf":
                yield float(sample.labels["le"])


def _name(metric: MetricFacts) -> str:
    return f"`{metric.series[0] if metric.kind == 'counter' else metric.name}`"


def _codes(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)
