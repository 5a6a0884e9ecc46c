"""Samples of a metrics registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry


def sample_value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """Return the value of one sample; 0 if the series does not exist yet."""
    return registry.get_sample_value(name, labels) or 0.0
