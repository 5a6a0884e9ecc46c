"""Duration and status code of every RPC."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from ...core.handler import Clock
from ...telemetry.metrics import Metrics
from ..context import Rpc
from ..interceptor_chain import Interceptor, RpcHandler

DEADLINE_TOLERANCE_SECONDS = 0.05
"""The caller's own timer ends a call this long before the deadline here, which began when the request arrived."""


class RpcMetrics(Interceptor):
    """Observe `rpc_server_call_duration_seconds`. Unknown methods never get here, so the labels are a closed set."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    async def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Any:
        """Observe the duration and the status code of the RPC, however it ends."""
        started, code = self._clock(), grpc.StatusCode.OK
        try:
            return await proceed(rpc)
        except asyncio.CancelledError:
            remaining = rpc.context.time_remaining()
            is_overdue = remaining is not None and remaining <= DEADLINE_TOLERANCE_SECONDS
            code = grpc.StatusCode.DEADLINE_EXCEEDED if is_overdue else grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.BaseError:
            code = rpc.context.code() or grpc.StatusCode.UNKNOWN
            raise
        finally:
            self._metrics.observe_rpc(rpc.method, code.name, self._clock() - started)
