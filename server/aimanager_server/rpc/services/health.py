"""Answers HealthService: how the providers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Protocol

import grpc

from aimanager.v1 import health_pb2
from aimanager.v1.health_pb2_grpc import HealthServiceServicer, add_HealthServiceServicer_to_server

from ...core.errors import Overloaded
from ...telemetry.provider_stats import Circuit, Report, Status
from ..convert.times import duration, timestamp

STATUSES = {
    status: health_pb2.ProviderStatus.Value(
        f"PROVIDER_STATUS_{'UNSPECIFIED' if status is Status.UNKNOWN else status.name}"
    )
    for status in Status
}
CIRCUITS = {circuit: health_pb2.CircuitState.Value(f"CIRCUIT_STATE_{circuit.name}") for circuit in Circuit}

Assess = Callable[[health_pb2.AssessProvidersRequest], health_pb2.AssessProvidersResponse]
"""Tells how good the providers were. Raises UnknownProvider and InvalidRequest."""

SumUp = Callable[[health_pb2.GetMetricsSummaryRequest], health_pb2.GetMetricsSummaryResponse]
"""Tells what was asked and what it took. Raises UnknownProvider and InvalidRequest."""


class ProviderHealth(Protocol):
    """Knows how each provider does."""

    def providers(self) -> tuple[str, ...]:
        """Names, in order."""
        ...

    def report(self, provider: str) -> Report:
        """State now. Raises UnknownProvider."""
        ...

    async def probe(self, provider: str) -> Report:
        """State after asking the provider. Raises UnknownProvider."""
        ...

    def watch(self, providers: Iterable[str]) -> AsyncIterator[Report]:
        """State of each now, then each change, without end. Raises UnknownProvider."""
        ...


class HealthService(HealthServiceServicer):
    """What providers do now, how good they were, and what was asked. Watches end once `closed`, so that it can stop."""

    name = "aimanager.v1.HealthService"

    def __init__(self, health: ProviderHealth, closed: asyncio.Event, assess: Assess, sum_up: SumUp) -> None:
        self._health = health
        self._closed = closed
        self._assess = assess
        self._sum_up = sum_up

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on a server that is not started yet."""
        add_HealthServiceServicer_to_server(self, server)

    async def ListProviderHealth(
        self, request: health_pb2.ListProviderHealthRequest, context: Any
    ) -> health_pb2.ListProviderHealthResponse:
        """State of each provider, by name; each once."""
        reports = [self._health.report(name) for name in sorted(set(request.providers)) or self._health.providers()]
        if request.probe:
            reports = await asyncio.gather(*(self._health.probe(report.provider) for report in reports))
        return health_pb2.ListProviderHealthResponse(providers=map(_written, reports))

    async def WatchProviderHealth(
        self, request: health_pb2.WatchProviderHealthRequest, context: Any
    ) -> AsyncIterator[health_pb2.WatchProviderHealthResponse]:
        """State of each provider now, then each change, until the server shuts down."""
        names = sorted(set(request.providers)) or self._health.providers()
        for name in names:
            self._health.report(name)
        async with aclosing(_until(self._closed, self._health.watch(names))) as reports:
            async for report in reports:
                yield health_pb2.WatchProviderHealthResponse(provider=_written(report))
        raise Overloaded("The server is shutting down.", solution="Watch again: another replica will answer.")

    async def AssessProviders(
        self, request: health_pb2.AssessProvidersRequest, context: Any
    ) -> health_pb2.AssessProvidersResponse:
        """The best provider first."""
        return self._assess(request)

    async def GetMetricsSummary(
        self, request: health_pb2.GetMetricsSummaryRequest, context: Any
    ) -> health_pb2.GetMetricsSummaryResponse:
        """The sums, by provider and model."""
        return self._sum_up(request)


async def _until(stop: asyncio.Event, reports: AsyncIterator[Report]) -> AsyncGenerator[Report, None]:
    """What the iterator yields, until the event is set."""
    stopped = asyncio.ensure_future(stop.wait())
    following = asyncio.ensure_future(anext(reports))
    try:
        while True:
            await asyncio.wait({stopped, following}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                return
            yield following.result()
            following = asyncio.ensure_future(anext(reports))
    finally:
        stopped.cancel()
        following.cancel()
        await asyncio.gather(stopped, following, return_exceptions=True)
        if isinstance(reports, AsyncGenerator):
            await reports.aclose()


def _written(report: Report) -> health_pb2.ProviderHealth:
    return health_pb2.ProviderHealth(
        provider=report.provider,
        status=STATUSES[report.status],
        circuit_breaker=health_pb2.CircuitBreaker(
            state=CIRCUITS[report.circuit],
            consecutive_failures=report.consecutive_failures,
            open_time=timestamp(report.opened_at),
            retry_time=timestamp(report.retry_at),
        ),
        latency_p50=duration(report.latency_p50),
        latency_p95=duration(report.latency_p95),
        error_rate=report.error_rate,
        last_success_time=timestamp(report.last_success_at),
        last_failure_time=timestamp(report.last_failure_at),
        last_error_reason=report.last_error_reason,
        solution=report.solution,
    )
