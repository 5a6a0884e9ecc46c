"""MetricsService: request counts, tokens and cost over a window, of all callers for an admin, else of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from aimanager.v1 import metrics_pb2
from aimanager.v1.metrics_pb2_grpc import MetricsServiceServicer, add_MetricsServiceServicer_to_server

from ...resilience.provider_health import ProviderHealth
from ...telemetry.usage_buckets import UsageRow
from ...telemetry.usage_stats import DAY_SECONDS, UsageStats
from ..context import current_rpc
from ..convert.responses import cost_to_proto, valid_text
from ..convert.times import optional_duration, optional_timestamp, parse_window

HOUR_SECONDS = 3600.0


class MetricsService(MetricsServiceServicer):
    """Implement MetricsService. `in_flight` returns the number of calls in flight of one caller, or of all."""

    name = "aimanager.v1.MetricsService"

    def __init__(self, health: ProviderHealth, usage_stats: UsageStats, in_flight: Callable[[str | None], int]) -> None:
        self._health = health
        self._usage_stats = usage_stats
        self._in_flight = in_flight

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        add_MetricsServiceServicer_to_server(self, server)

    async def GetMetricsSummary(
        self, request: metrics_pb2.GetMetricsSummaryRequest, context: Any
    ) -> metrics_pb2.GetMetricsSummaryResponse:
        """Return the totals, with a row for each model used. Raises ProviderNotFound and InvalidRequest."""
        caller = current_rpc.get().caller.data_owner
        if request.provider:
            self._health.report(request.provider)
        seconds = parse_window(request, HOUR_SECONDS, DAY_SECONDS)
        summary = self._usage_stats.summary(seconds, request.provider, request.model, caller)
        return metrics_pb2.GetMetricsSummaryResponse(
            start_time=optional_timestamp(summary.start_time),
            end_time=optional_timestamp(summary.end_time),
            total=_row_to_proto(summary.total),
            rows=map(_row_to_proto, summary.rows),
            requests_in_flight=max(self._in_flight(caller), 0),
            uptime=optional_duration(summary.uptime),
        )


def _row_to_proto(row: UsageRow) -> metrics_pb2.MetricsRow:
    return metrics_pb2.MetricsRow(
        provider=row.provider,
        model=valid_text(row.model),
        requests=row.requests,
        failures=row.failures,
        fallbacks=row.fallbacks,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost=None if row.cost is None else cost_to_proto(row.cost),
        latency_p50=optional_duration(row.latency_p50),
        latency_p95=optional_duration(row.latency_p95),
        time_to_first_token_p50=optional_duration(row.time_to_first_token_p50),
        failures_by_reason=row.failures_by_reason,
        cache_hits=row.cache_hits,
        saved_cost=None if row.saved_cost is None else cost_to_proto(row.saved_cost),
    )
