"""The border where every failure becomes a gRPC status, and nothing else gets out."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any, Never, Protocol

import grpc
import structlog

from ...core.errors import GatewayError, InternalError, Overloaded, StreamInterrupted
from ..context import Interceptor, Proceed, Rpc
from ..status import answer

MASK = "[secret]"


class Meter(Protocol):
    """Where refusals are counted."""

    def refused(self, fault: GatewayError) -> None:
        """A call was turned away or failed."""
        ...


class TranslateErrors(Interceptor):
    """Answers a Fault as its row in the table says, and anything else as INTERNAL_ERROR that says nothing of the cause.

    The cause goes to the log, under the request id, without what the caller sent in confidence.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._log = structlog.get_logger()

    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Raise nothing but AbortError and the cancellation of this RPC."""
        try:
            return await proceed(rpc, request)
        except grpc.aio.AbortError:
            raise
        except GatewayError as fault:
            fault.usage = fault.usage or rpc.spent()
            self._meter.refused(fault)
            self._log.info("rpc.refused", method=rpc.method, code=fault.spec.code, reason=fault.reason)
            await _abort(rpc, fault)
        except grpc.aio.InternalError as error:
            # A write that failed because the caller went away comes before the news that it did.
            self._log.info("rpc.write_failed", method=rpc.method)
            await _abort(rpc, _bug(rpc), error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and rpc.is_cut:
                task.uncancel()
                await _abort(rpc, _cut(rpc), error)
            if task is None or task.cancelling():
                raise
            # A library's own: passed on, it would leave the caller waiting until its deadline
            # (https://github.com/grpc/grpc/issues/29248, read 2026-11).
            self._crashed(rpc, error)
            await _abort(rpc, _bug(rpc), error)
        except Exception as error:
            self._crashed(rpc, error)
            await _abort(rpc, _bug(rpc), error)

    def _crashed(self, rpc: Rpc, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        for secret in rpc.secrets:
            text = text.replace(secret, MASK)
        self._log.error("rpc.crashed", method=rpc.method, error=type(error).__name__, exception=text)


def _cut(rpc: Rpc) -> GatewayError:
    if not rpc.is_open:
        return Overloaded("The server is shutting down.", retry_after=1.0)
    fault = StreamInterrupted("The server shut down within the answer.")
    fault.usage = rpc.spent()
    return fault


def _bug(rpc: Rpc) -> GatewayError:
    return InternalError(f"The server failed to handle the call. Request id: {rpc.id}.")


async def _abort(rpc: Rpc, fault: GatewayError, cause: BaseException | None = None) -> Never:
    code, message, trailers = answer(fault, rpc.id)
    try:
        await rpc.context.abort(code, message, trailers)
    except grpc.aio.AbortError as aborted:
        raise aborted from cause or fault
    raise AssertionError("abort returned")
