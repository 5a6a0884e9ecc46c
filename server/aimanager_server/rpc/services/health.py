"""HealthService: the health of the providers, now and as it changes. Only admins learn why a provider failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import grpc

from aimanager.v1 import health_pb2
from aimanager.v1.health_pb2_grpc import HealthServiceServicer, add_HealthServiceServicer_to_server

from ...core.errors import Overloaded
from ...core.request import Caller
from ...resilience.circuit_breaker import CircuitState
from ...resilience.provider_health import ProviderHealth, ProviderReport, ProviderStatus
from ..context import current_rpc
from ..convert.times import optional_duration, optional_timestamp

PROVIDER_STATUSES = {
    status: health_pb2.ProviderStatus.Value(f"PROVIDER_STATUS_{status.name}") for status in ProviderStatus
}
SOLUTIONS = {
    ProviderStatus.NOT_CONFIGURED: "Use another provider, send your own API key, or ask the operator of the gateway.",
    ProviderStatus.DOWN: "Use another provider, or retry after the retry time of the circuit breaker.",
    ProviderStatus.DEGRADED: "Add a fallback model to your calls.",
}
"""What callers that are not admins can do."""

CIRCUIT_STATES = {state: health_pb2.CircuitState.Value(f"CIRCUIT_STATE_{state.name}") for state in CircuitState}


class HealthService(HealthServiceServicer):
    """Implement HealthService. Watch streams end after `watch_timeout_seconds`, and once `closed` is set."""

    name = "aimanager.v1.HealthService"

    def __init__(self, health: ProviderHealth, closed: asyncio.Event, watch_timeout_seconds: float) -> None:
        self._health = health
        self._closed = closed
        self._watch_timeout_seconds = watch_timeout_seconds

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        add_HealthServiceServicer_to_server(self, server)

    async def ListProviderHealth(
        self, request: health_pb2.ListProviderHealthRequest, context: Any
    ) -> health_pb2.ListProviderHealthResponse:
        """Return the health of each requested provider once, by name."""
        reports = [self._health.report(name) for name in sorted(set(request.providers)) or self._health.providers()]
        if request.probe:
            reports = await asyncio.gather(*(self._health.probe(report.provider) for report in reports))
        caller = current_rpc.get().caller
        return health_pb2.ListProviderHealthResponse(
            providers=(_report_to_proto(_visible_to(caller, report)) for report in reports)
        )

    async def WatchProviderHealth(
        self, request: health_pb2.WatchProviderHealthRequest, context: Any
    ) -> AsyncIterator[health_pb2.WatchProviderHealthResponse]:
        """Send the current health of each provider, then each change, until the server shuts down."""
        names, caller = sorted(set(request.providers)), current_rpc.get().caller
        for name in names:
            self._health.report(name)
        watched = _until(self._closed, self._watch_timeout_seconds, self._health.watch(names))
        async with aclosing(watched) as reports:
            async for report in reports:
                yield health_pb2.WatchProviderHealthResponse(provider=_report_to_proto(_visible_to(caller, report)))
        if self._closed.is_set():
            solution = "Reconnect: another replica will accept the watch."
            raise Overloaded("The server is shutting down.", solution=solution)
        message = f"The watch ended after {self._watch_timeout_seconds:g} s."
        raise Overloaded(message, solution="Start another watch.", retry_after=0.0)


async def _until(
    stop: asyncio.Event, seconds: float, reports: AsyncIterator[ProviderReport]
) -> AsyncGenerator[ProviderReport, None]:
    """Yield from the iterator until the event is set or the time is up, then close the iterator."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    stopped = asyncio.ensure_future(stop.wait())
    pending = asyncio.ensure_future(anext(reports))
    try:
        while True:
            remaining = deadline - loop.time()
            await asyncio.wait({stopped, pending}, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done() or not pending.done() or remaining <= 0:
                return
            yield pending.result()
            pending = asyncio.ensure_future(anext(reports))
    finally:
        stopped.cancel()
        pending.cancel()
        await asyncio.gather(stopped, pending, return_exceptions=True)
        if isinstance(reports, AsyncGenerator):
            await reports.aclose()


def _visible_to(caller: Caller, report: ProviderReport) -> ProviderReport:
    """Return the report without what only admins see: how and when calls of others failed, and what to configure."""
    if caller.is_admin:
        return report
    solution = SOLUTIONS.get(report.status, "")
    return replace(report, last_success_at=None, last_failure_at=None, last_error_reason="", solution=solution)


def _report_to_proto(report: ProviderReport) -> health_pb2.ProviderHealth:
    return health_pb2.ProviderHealth(
        provider=report.provider,
        status=PROVIDER_STATUSES[report.status],
        circuit_breaker=health_pb2.CircuitBreaker(
            state=CIRCUIT_STATES[report.circuit_state],
            consecutive_failures=report.consecutive_failures,
            open_time=optional_timestamp(report.opened_at),
            retry_time=optional_timestamp(report.retry_at),
        ),
        latency_p50=optional_duration(report.latency_p50),
        latency_p95=optional_duration(report.latency_p95),
        error_rate=report.error_rate,
        last_success_time=optional_timestamp(report.last_success_at),
        last_failure_time=optional_timestamp(report.last_failure_at),
        last_error_reason=report.last_error_reason,
        solution=report.solution,
    )
