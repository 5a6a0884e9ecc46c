"""Receive and decode requests, once their RPC was admitted: bounded in bytes, fields and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ..config.settings import Limits
from ..core.errors import DeadlineExceeded, GatewayError, InvalidRequest, PayloadTooLarge
from ..resilience.request_turns import MIN_TURN_BYTES, RequestTurns
from .context import Rpc
from .wire_fields import MessageShape, has_more_fields

MAX_CHECK_SECONDS = 1.0
"""How often overdue requests are looked for; a timer for each RPC would cost more than receiving the request."""

Receive = Callable[[Rpc], Awaitable[Any]]
"""Return the request of an RPC, or an iterator of the requests of a stream. Raises GatewayError."""


class RequestReceiver:
    """Receive the messages of admitted RPCs, each of which must arrive within `timeout_seconds`.

    gRPC buffers no more of an RPC than the flow-control window until its message is received here. A large message is
    decoded, and its RPC goes on, when it has its turn.
    """

    def __init__(self, limits: Limits, timeout_seconds: float, turns: RequestTurns) -> None:
        self._max_bytes = limits.max_message_bytes
        self._max_fields = limits.max_request_fields
        self._timeout_seconds = timeout_seconds
        self._turns = turns
        self._check_seconds = min(timeout_seconds, MAX_CHECK_SECONDS)
        self._waiting: dict[Rpc, tuple[float, asyncio.Task[Any] | None]] = {}
        self._overdue: set[Rpc] = set()
        self._timer: asyncio.TimerHandle | None = None

    def bind(self, method: str, deserialize: Any, *, is_stream: bool) -> Receive:
        """Return the function that receives the request, or the request stream, of a method."""
        shape = MessageShape(deserialize.__self__.DESCRIPTOR)
        # A message of fewer bytes cannot have too many fields.
        max_unchecked_bytes = 2 * self._max_fields

        def decode(data: bytes) -> Any:
            if len(data) > self._max_bytes:
                raise _too_large(len(data), self._max_bytes)
            if len(data) > max_unchecked_bytes and has_more_fields(data, shape, self._max_fields):
                raise _too_many_fields(self._max_fields)
            try:
                return deserialize(data)
            except (DecodeError, ValueError):
                raise _undecodable(method) from None

        async def receive_one(rpc: Rpc) -> Any:
            data = await self.receive(rpc)
            if data is grpc.aio.EOF:
                raise InvalidRequest(f"The call to {method} has no request message.", solution="Send one message.")
            return decode(data)

        async def receive_all(rpc: Rpc) -> AsyncIterator[Any]:
            async def messages() -> AsyncIterator[Any]:
                while (data := await self.receive(rpc)) is not grpc.aio.EOF:
                    yield decode(data)

            return messages()

        return receive_all if is_stream else receive_one

    async def receive(self, rpc: Rpc) -> Any:
        """Return the next message of an RPC, undecoded; `grpc.aio.EOF` after the last. Raises DeadlineExceeded."""
        data = await self._read(rpc)
        if data is not grpc.aio.EOF and len(data) >= MIN_TURN_BYTES:
            await self._turns.wait(rpc.caller.name)
        return data

    async def _read(self, rpc: Rpc) -> Any:
        loop = asyncio.get_running_loop()
        self._waiting[rpc] = (loop.time() + self._timeout_seconds, asyncio.current_task())
        if self._timer is None:
            self._start_timer()
        try:
            return await rpc.context.read()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or rpc not in self._overdue:
                raise
            task.uncancel()
            message = f"The request message did not arrive within {self._timeout_seconds:g} s."
            raise DeadlineExceeded(message) from None
        finally:
            self._overdue.discard(rpc)
            del self._waiting[rpc]

    def _start_timer(self) -> None:
        # In a context of its own: that of the current RPC would keep it in memory for as long as the timer runs.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._check_seconds, self._cancel_overdue, context=Context())

    def _cancel_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        for rpc, (deadline, task) in self._waiting.items():
            if deadline > loop.time():
                break  # the others began to wait later
            if task is not None and rpc not in self._overdue:
                self._overdue.add(rpc)
                task.cancel()
        self._timer = None
        if self._waiting:
            self._start_timer()


def _too_large(actual: int, limit: int) -> GatewayError:
    return PayloadTooLarge(
        f"The request must not exceed {limit} bytes, got {actual}.",
        metadata={"limit": str(limit), "actual": str(actual)},
    )


def _too_many_fields(limit: int) -> GatewayError:
    return InvalidRequest(
        f"The request must not have more than {limit} fields, with those of all messages and parts.",
        solution="Send fewer messages or parts, or ask the operator to raise limits.max_request_fields.",
        metadata={"limit": str(limit)},
    )


def _undecodable(method: str) -> GatewayError:
    return InvalidRequest(
        f"Cannot decode the request to {method}: invalid protobuf message, or text that is not UTF-8.",
        solution="Generate the client from the proto files of this server's version.",
    )
