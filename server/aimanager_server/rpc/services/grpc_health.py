"""The standard grpc.health.v1.Health service: liveness and readiness of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

from ...core.errors import Overloaded
from ...resilience.concurrency_limiter import ConcurrencyLimiter
from ..grpc_batches import complete
from ..interceptor_chain import GRPC_HEALTH_SERVICE
from ..peers import peer_network

RETRY_AFTER_SECONDS = 1.0

LIVENESS = "liveness"
READINESS = "readiness"
WHOLE_SERVER = ""


class GrpcHealthService(HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """Report on the whole server, `liveness`, `readiness`, and each service by name.

    At most `max_watches` are open, half of them from one address, each for `watch_timeout_seconds`: their callers are
    not known.

    `liveness` is SERVING from the start; the others once marked ready. The servicer of grpcio-health-checking does not
    fit: it starts as SERVING, and writes to watchers under a lock, so that one stalled watcher blocks every change.
    """

    name = GRPC_HEALTH_SERVICE

    def __init__(self, services: Iterable[str], max_watches: int, watch_timeout_seconds: float) -> None:
        self._watches = ConcurrencyLimiter(*_watch_limits(max_watches))
        self._max_watches = max_watches
        self._watch_timeout_seconds = watch_timeout_seconds
        self._services = frozenset((WHOLE_SERVER, READINESS, GRPC_HEALTH_SERVICE, *services))
        self._ready = False
        self._closed = False
        self._changed = asyncio.Event()

    def reconfigure(self, max_watches: int, watch_timeout_seconds: float) -> None:
        """Change the limits of new watches."""
        self._watches.reconfigure(*_watch_limits(max_watches))
        self._max_watches, self._watch_timeout_seconds = max_watches, watch_timeout_seconds

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        add_HealthServicer_to_server(self, server)

    def mark_ready(self) -> None:
        """Report SERVING from now on and notify watchers."""
        self._ready = True
        self._notify_watchers()

    def mark_not_ready(self) -> None:
        """Report NOT_SERVING from now on and notify watchers."""
        self._ready = False
        self._notify_watchers()

    def close(self) -> None:
        """End every watch once it has sent its latest status."""
        self._closed = True
        self._notify_watchers()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:
        """Return the status of a service. Aborts with NOT_FOUND for an unknown one."""
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            message = "Unknown service. Send 'liveness', 'readiness', a full service name, or an empty name."
            await complete(context.abort(grpc.StatusCode.NOT_FOUND, message))
        return HealthCheckResponse(status=status)

    async def List(self, request: Any, context: Any) -> Any:
        """Return the status of every service that Check knows. grpcio-health-checking before 1.81 lacks the method."""
        services = (*sorted(self._services), LIVENESS)
        return health_pb2.HealthListResponse(
            statuses={service: HealthCheckResponse(status=self._status(service)) for service in services}
        )

    async def Watch(self, request: HealthCheckRequest, context: Any) -> AsyncIterator[HealthCheckResponse]:
        """Send the current status of a service, then each change."""
        address = peer_network(context.peer())
        if not self._watches.try_acquire(address):
            raise Overloaded(
                f"{self._limit_reached(address)} Retry in {RETRY_AFTER_SECONDS:g} s.",
                solution="Use Check instead of Watch.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        try:
            async with asyncio.timeout(self._watch_timeout_seconds):
                async for status in self._changes(request.service):
                    yield HealthCheckResponse(status=status)
        except TimeoutError:
            return
        finally:
            self._watches.release(address)

    def _limit_reached(self, address: str) -> str:
        if self._watches.is_at_limit(address):
            limit, scope = _per_address(self._max_watches), " from this address"
        else:
            limit, scope = self._max_watches, ""
        return f"Too many watches of {GRPC_HEALTH_SERVICE} are open{scope} ({limit})."

    async def _changes(self, service: str) -> AsyncIterator[int]:
        """Yield the status of a service, then each change, until the service is closed."""
        sent: int | None = None
        while True:
            changed, status = self._changed, self._status(service)
            if status != sent:
                sent = status
                yield status
            elif self._closed:
                return
            else:
                await changed.wait()

    def _status(self, service: str) -> int:
        if service == LIVENESS:
            status: int = HealthCheckResponse.SERVING
        elif service in self._services:
            status = HealthCheckResponse.SERVING if self._ready else HealthCheckResponse.NOT_SERVING
        else:
            status = HealthCheckResponse.SERVICE_UNKNOWN
        return status

    def _notify_watchers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _watch_limits(max_watches: int) -> tuple[int, int, float, int]:
    """Return the arguments of the limiter: no call waits for a permit."""
    return max_watches, 0, 0.0, _per_address(max_watches)


def _per_address(max_watches: int) -> int:
    return max(max_watches // 2, 1)
