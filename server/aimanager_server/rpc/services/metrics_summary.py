"""Answers GetMetricsSummary: what was asked and what it took over a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aimanager.v1 import health_pb2

from ...telemetry.usage_row import Row
from ...telemetry.usage_stats import DAY_SECONDS, Summary
from ..convert import responses as wire_write
from ..convert.times import duration, timestamp, window
from .health import ProviderHealth

HOUR_SECONDS = 3600.0


class Books(Protocol):
    """Knows what was asked and what it took."""

    def summary(self, window: float, provider: str, model: str) -> Summary:
        """The sums of the last `window` seconds, of one provider or model where that is not empty."""
        ...


class Summing:
    """GetMetricsSummary. `in_flight` tells how many calls are under way now."""

    def __init__(self, health: ProviderHealth, books: Books, in_flight: Callable[[], int]) -> None:
        self._health = health
        self._books = books
        self._in_flight = in_flight

    def __call__(self, request: health_pb2.GetMetricsSummaryRequest) -> health_pb2.GetMetricsSummaryResponse:
        """The sums, without rows for a model never used. Raises UnknownProvider and InvalidRequest."""
        if request.provider:
            self._health.report(request.provider)
        seconds = window(request, HOUR_SECONDS, DAY_SECONDS)
        summary = self._books.summary(seconds, request.provider, request.model)
        return health_pb2.GetMetricsSummaryResponse(
            start_time=timestamp(summary.began_at),
            end_time=timestamp(summary.ended_at),
            total=_written(summary.total),
            rows=map(_written, summary.rows),
            requests_in_flight=max(self._in_flight(), 0),
            uptime=duration(summary.uptime),
        )


def _written(row: Row) -> health_pb2.MetricsRow:
    return health_pb2.MetricsRow(
        provider=row.provider,
        model=wire_write.text(row.model),
        requests=row.requests,
        failures=row.failures,
        fallbacks=row.fallbacks,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost=None if row.cost is None else wire_write.cost(row.cost),
        latency_p50=duration(row.latency_p50),
        latency_p95=duration(row.latency_p95),
        time_to_first_token_p50=duration(row.first_token_p50),
        failures_by_reason=row.failures_by_reason,
    )
