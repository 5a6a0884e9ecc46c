"""Times every RPC and counts it by the code it ended with."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import grpc

from ...core.handler import Clock
from ..context import Interceptor, Proceed, Rpc


class Meter(Protocol):
    """Where the figures go."""

    def rpc_finished(self, method: str, code: str, seconds: float) -> None:
        """An RPC ended with a gRPC status code, by name."""
        ...


class Measure(Interceptor):
    """Tells the meter when an RPC ended. Methods that do not exist never get here, so the labels are a closed set."""

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self._meter = meter
        self._clock = clock

    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Measure from here to the end, however it ends."""
        started, code = self._clock(), grpc.StatusCode.OK
        try:
            return await proceed(rpc, request)
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.BaseError:
            code = rpc.context.code() or grpc.StatusCode.UNKNOWN
            raise
        finally:
            self._meter.rpc_finished(rpc.method, code.name, self._clock() - started)
