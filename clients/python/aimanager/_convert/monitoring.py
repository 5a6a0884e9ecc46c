"""Build the operations of the health, quality and metrics services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..types.health import ProviderHealth
from ..types.metrics import MetricsSummary
from ..types.quality import ProviderQuality
from ..v1 import health_pb2, metrics_pb2, quality_pb2
from .checks import require_duration, require_names, require_utf8
from .operation import PROBE_TIMEOUT, READ_TIMEOUT, Operation

DEFAULT_WINDOW = 3600.0  # seconds

ListOperation: TypeAlias = Operation[
    health_pb2.ListProviderHealthRequest, health_pb2.ListProviderHealthResponse, list[ProviderHealth]
]
CheckOperation: TypeAlias = Operation[
    health_pb2.ListProviderHealthRequest, health_pb2.ListProviderHealthResponse, ProviderHealth
]
WatchOperation: TypeAlias = Operation[
    health_pb2.WatchProviderHealthRequest, health_pb2.WatchProviderHealthResponse, ProviderHealth
]
AssessOperation: TypeAlias = Operation[
    quality_pb2.AssessProvidersRequest, quality_pb2.AssessProvidersResponse, list[ProviderQuality]
]
SummaryOperation: TypeAlias = Operation[
    metrics_pb2.GetMetricsSummaryRequest, metrics_pb2.GetMetricsSummaryResponse, MetricsSummary
]


def list_health(providers: Sequence[str], *, probe: bool) -> ListOperation:
    """Describe a query of provider health."""
    request = health_pb2.ListProviderHealthRequest(providers=require_names("providers", providers), probe=probe)
    return Operation(
        "health.ListProviderHealth",
        request,
        PROBE_TIMEOUT if probe else READ_TIMEOUT,
        lambda response: [ProviderHealth(row) for row in response.providers],
    )


def check_health(provider: str) -> CheckOperation:
    """Describe a probe of one provider."""
    request = health_pb2.ListProviderHealthRequest(providers=[require_utf8("provider", provider)], probe=True)
    return Operation(
        "health.ListProviderHealth", request, PROBE_TIMEOUT, lambda response: ProviderHealth(response.providers[0])
    )


def watch_health(providers: Sequence[str]) -> WatchOperation:
    """Describe a subscription to health changes. It has no deadline."""
    request = health_pb2.WatchProviderHealthRequest(providers=require_names("providers", providers))
    return Operation("health.WatchProviderHealth", request, None, lambda response: ProviderHealth(response.provider))


def assess_providers(providers: Sequence[str], window: float) -> AssessOperation:
    """Describe an assessment over the last `window` seconds."""
    request = quality_pb2.AssessProvidersRequest(
        providers=require_names("providers", providers), window=require_duration("window", window)
    )
    return Operation(
        "quality.AssessProviders",
        request,
        READ_TIMEOUT,
        lambda response: [ProviderQuality(row) for row in response.providers],
    )


def metrics_summary(provider: str | None, model: str | None, window: float) -> SummaryOperation:
    """Describe a metrics summary of the last `window` seconds."""
    request = metrics_pb2.GetMetricsSummaryRequest(
        window=require_duration("window", window),
        provider=require_utf8("provider", provider or ""),
        model=require_utf8("model", model or ""),
    )
    return Operation("metrics.GetMetricsSummary", request, READ_TIMEOUT, MetricsSummary)
