"""QualityService: compares the quality of providers and models over a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from aimanager.v1 import quality_pb2
from aimanager.v1.quality_pb2_grpc import QualityServiceServicer, add_QualityServiceServicer_to_server

from ...core.usage import Cost, Usage, UsageSource
from ...resilience.provider_health import ProviderHealth
from ...telemetry.model_stats import RETENTION_SECONDS, ModelSnapshot, ModelStats
from ...telemetry.scorecard import Assessment, assess
from ..context import current_rpc
from ..convert.responses import valid_text
from ..convert.times import optional_duration, parse_window

REFERENCE_USAGE = Usage(input_tokens=3000, output_tokens=1000, source=UsageSource.REPORTED)
"""The typical usage whose cost is compared between models."""

CostOf = Callable[[str, str, Usage], Cost | None]
"""Return the cost of usage with a provider's model, None if its price is unknown."""


class QualityService(QualityServiceServicer):
    """Implement QualityService over the statistics of recent attempts. `cost_of` must use one currency."""

    name = "aimanager.v1.QualityService"

    def __init__(self, health: ProviderHealth, model_stats: ModelStats, cost_of: CostOf) -> None:
        self._health = health
        self._model_stats = model_stats
        self._cost_of = cost_of

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        add_QualityServiceServicer_to_server(self, server)

    async def AssessProviders(
        self, request: quality_pb2.AssessProvidersRequest, context: Any
    ) -> quality_pb2.AssessProvidersResponse:
        """Assess the requested providers, or all of them. Raises ProviderNotFound and InvalidRequest.

        Of the attempts, only the caller's own count, unless it is an admin.
        """
        names = sorted(set(request.providers)) or self._health.providers()
        for name in names:
            self._health.report(name)
        window = parse_window(request, RETENTION_SECONDS, RETENTION_SECONDS)
        snapshots = self._model_stats.snapshots(window, current_rpc.get().caller.data_owner)
        assessments = assess(names, snapshots, self._reference_cost)
        return quality_pb2.AssessProvidersResponse(providers=map(_assessment_to_proto, assessments))

    def _reference_cost(self, provider: str, model: str) -> float | None:
        cost = self._cost_of(provider, model, REFERENCE_USAGE)
        return None if cost is None else float(cost.total_nanos)


def _assessment_to_proto(assessment: Assessment) -> quality_pb2.ProviderQuality:
    return quality_pb2.ProviderQuality(
        provider=assessment.provider,
        sample_count=assessment.samples,
        overall=assessment.overall,
        availability=assessment.availability,
        speed=assessment.speed,
        economy=assessment.economy,
        conformance=assessment.conformance,
        findings=assessment.findings,
        models=map(_snapshot_to_proto, assessment.models),
    )


def _snapshot_to_proto(snapshot: ModelSnapshot) -> quality_pb2.ModelQuality:
    return quality_pb2.ModelQuality(
        model=valid_text(snapshot.model),
        sample_count=snapshot.samples,
        success_rate=snapshot.succeeded / snapshot.samples if snapshot.samples else None,
        latency_p50=optional_duration(snapshot.latency_p50),
        latency_p95=optional_duration(snapshot.latency_p95),
        time_to_first_token_p50=optional_duration(snapshot.time_to_first_token_p50),
        time_to_first_token_p95=optional_duration(snapshot.time_to_first_token_p95),
        output_tokens_per_second=snapshot.tokens_per_second,
        conformance=snapshot.passed / snapshot.validated if snapshot.validated else None,
    )
