"""Error translation: every failure becomes a gRPC status, and internal details stay in the log."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import replace
from typing import Any, Never, Protocol

import grpc

from ...core.errors import (
    GatewayError,
    InternalError,
    MissingCredentials,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    Unauthenticated,
)
from ...core.request import Caller
from ...resilience.auth_backoff import FAILED_AUTHENTICATIONS
from ...resilience.rejection_pacer import RejectionPacer
from ...telemetry.logger import get_logger
from ...telemetry.metrics import Metrics
from ..context import UNKNOWN_CALLER, Rpc
from ..grpc_batches import complete
from ..interceptor_chain import Interceptor, RpcHandler
from ..status import to_status

REDACTED = "[redacted]"
REJECTIONS = (Overloaded, RateLimited, Unauthenticated)
"""Errors of calls that cost almost nothing, and so may come in bursts."""

STREAMING_METHOD = "/StreamGenerate"

KEY_SOLUTION = (
    "Use another provider, pass your own key to the client: AIManager(api_key=…), or ask the operator of the gateway."
)


class CountRejected(Protocol):
    """Counts requests that failed before they reached the pipeline."""

    def __call__(self, caller: str | None, reason: str, *, streaming: bool) -> None:
        """Count one. `caller` is None if it was not authenticated."""


class ErrorTranslator(Interceptor):
    """Answer a GatewayError according to its ErrorSpec, and any other exception as INTERNAL_ERROR without its cause.

    The cause is logged under the request id, with the caller's credentials redacted. Rejections wait for the `pacer`.
    Requests that the pipeline did not see, and so did not count, are counted here by `count_rejected`.
    """

    def __init__(self, metrics: Metrics, count_rejected: CountRejected, pacer: RejectionPacer) -> None:
        self._metrics = metrics
        self._count_rejected = count_rejected
        self._pacer = pacer
        self._log = get_logger()

    async def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Any:
        """Raise only AbortError, or CancelledError if this RPC was cancelled."""
        try:
            return await proceed(rpc)
        except grpc.aio.AbortError:
            raise
        except GatewayError as error:
            self._metrics.count_rejection(error)
            self._count(rpc, error.reason)
            if isinstance(error, REJECTIONS):
                await self._pacer.wait()
            # Strangers could fill the log with these; the metric counts them.
            if error.metadata.get("quota") != FAILED_AUTHENTICATIONS:
                self._log.info(
                    "rpc.failed",
                    method=rpc.method,
                    code=error.spec.code,
                    reason=error.reason,
                    caller=rpc.caller.name,
                )
            known = error if rpc.attempts is None else error.with_attempts(rpc.attempts)
            await _abort(rpc, _visible_to(rpc.caller, _with_prefix(known, rpc.field_prefix)))
        except grpc.aio.InternalError as error:
            # If the caller disconnected, the failed write arrives before the cancellation.
            self._log.info("rpc.write_failed", method=rpc.method)
            await _abort(rpc, _internal_error(rpc), error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and rpc.ended_by_server:
                task.uncancel()
                await _abort(rpc, _shutdown_error(rpc), error)
            if task is None or task.cancelling():
                raise
            # Raised by a library, not by a cancellation of this RPC. If it passed, the caller would wait until its
            # deadline (https://github.com/grpc/grpc/issues/29248, read 2026-11).
            self._log_crash(rpc, error)
            await _abort(rpc, _internal_error(rpc), error)
        except Exception as error:
            self._log_crash(rpc, error)
            await _abort(rpc, _internal_error(rpc), error)

    def _count(self, rpc: Rpc, reason: str) -> None:
        if rpc.attempts is None and rpc.policy.is_request:
            caller = None if rpc.caller is UNKNOWN_CALLER else rpc.caller.name
            self._count_rejected(caller, reason, streaming=rpc.method.endswith(STREAMING_METHOD))

    def _log_crash(self, rpc: Rpc, error: BaseException) -> None:
        self._count(rpc, InternalError.spec.reason)
        text = "".join(traceback.format_exception(error))
        for secret in rpc.secrets:
            text = text.replace(secret, REDACTED)
        self._log.error("rpc.crashed", method=rpc.method, error=type(error).__name__, exception=text)


def _visible_to(caller: Caller, error: GatewayError) -> GatewayError:
    """Return the error without the name of the variable of a missing API key, which only admins see."""
    if caller.is_admin or not isinstance(error, MissingCredentials):
        return error
    return error.replace(solution=KEY_SOLUTION, metadata={})


def _with_prefix(error: GatewayError, prefix: str) -> GatewayError:
    """Return the error with the field paths of the request that the caller sent, which has the handled one within."""
    if not prefix or not error.violations:
        return error
    first = error.violations[0].field
    return error.replace(
        message=error.message.replace(first, prefix + first, 1),
        violations=tuple(replace(violation, field=prefix + violation.field) for violation in error.violations),
    )


def _shutdown_error(rpc: Rpc) -> GatewayError:
    if not rpc.headers_sent:
        return Overloaded("The server is shutting down.", retry_after=1.0)
    usage = None if rpc.attempts is None else rpc.attempts.usage()
    return StreamInterrupted("Stream interrupted: the server is shutting down.", usage=usage)


def _internal_error(rpc: Rpc) -> GatewayError:
    return InternalError(f"Internal error while handling the call (request id {rpc.id}).")


async def _abort(rpc: Rpc, error: GatewayError, cause: BaseException | None = None) -> Never:
    code, message, trailers = to_status(error, rpc.id)
    try:
        await complete(rpc.context.abort(code, message, trailers))
    except grpc.aio.AbortError as aborted:
        raise aborted from cause or error
    raise AssertionError("abort returned")
