"""Answers grpc.health.v1.Health: whether this process lives and takes calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

from ..context import STANDARD_HEALTH

LIVENESS = "liveness"
READINESS = "readiness"
WHOLE = ""


class Readiness(HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """The standard health service, for the whole server, `liveness`, `readiness` and each service by name.

    Alive from the start, ready when told. It is our own because the one of grpcio-health-checking starts as SERVING,
    and writes to a watcher under a lock: one watcher that does not read would keep the server from ever changing.
    """

    name = STANDARD_HEALTH

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset((WHOLE, READINESS, STANDARD_HEALTH, *services))
        self._ready = False
        self._closed = False
        self._changed = asyncio.Event()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on a server that is not started yet."""
        add_HealthServicer_to_server(self, server)

    def set(self, *, ready: bool) -> None:
        """Say whether calls are taken; watchers are told."""
        self._ready = ready
        self._tell()

    def close(self) -> None:
        """End every watch, after a last word where there is one."""
        self._closed = True
        self._tell()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:
        """The status of a service; NOT_FOUND where there is none of that name."""
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no service of that name here.")
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, context: Any) -> AsyncIterator[HealthCheckResponse]:
        """The status of a service now, then each change."""
        shown: int | None = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != shown:
                shown = status
                yield HealthCheckResponse(status=status)
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

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
