"""Calls of the program that embeds the server: through the interceptors and services, without gRPC's transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from types import SimpleNamespace
from typing import Any, Never, Protocol

import grpc

from .interceptor_chain import InterceptorChain
from .peers import IN_PROCESS

MAX_UNREAD_BYTES = 64 * 1024
"""Messages of a stream that its caller has not read; further ones wait, as with gRPC's flow control."""

Metadata = Sequence[tuple[str, str | bytes]]


class Receiver(Protocol):
    """The caller's end of a call. Its methods are called on the server's event loop and must not block or raise."""

    def on_message(self, data: bytes) -> None:
        """Receive the response, or one message of a stream."""

    def on_end(self, code: grpc.StatusCode, details: str, trailers: Metadata) -> None:
        """Receive the status, once, after the last message."""


class InProcessServer:
    """Serve the methods of `services` on the running event loop, each through `chain`."""

    def __init__(self, chain: InterceptorChain, services: Iterable[Any]) -> None:
        self._methods = _MethodTable()
        registrar = chain.registrar(self._methods)
        for service in services:
            service.add_to(registrar)
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._calls: set[InProcessCall] = set()

    def start_call(self, call: InProcessCall) -> None:
        """Start a call. Safe to call from any thread. Raises RuntimeError if the event loop is closed."""
        self._loop.call_soon_threadsafe(self._start, call, context=self._context)

    def _start(self, call: InProcessCall) -> None:
        method = self._methods.find(call.method)
        if method is None:
            call.end(grpc.StatusCode.UNIMPLEMENTED, f"The server has no method {call.method}.")
            return
        # Each call has a context of its own: what it sets must not be seen by the next.
        call.start(self._loop, method, self._context.copy())
        self._calls.add(call)
        call.task.add_done_callback(lambda _: self._calls.discard(call))

    async def cancel_calls(self) -> None:
        """Cancel every call and wait until their handlers have ended."""
        tasks = [call.task for call in self._calls]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class _MethodTable:
    """Stands in for a gRPC server: finds the handlers of methods by path, such as /aimanager.v1.Service/Method."""

    def __init__(self) -> None:
        self._services: list[Any] = []
        self._found: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Add the methods of services."""
        self._services += handlers

    def find(self, path: str) -> Any:
        """Return the handler of a method, None if it does not exist."""
        if path not in self._found:
            details = SimpleNamespace(method=path, invocation_metadata=())
            found = next(filter(None, (service.service(details) for service in self._services)), None)
            if found is None:
                return None
            self._found[path] = found
        return self._found[path]


class InProcessCall:
    """One call, and the `grpc.aio.ServicerContext` of its handler.

    `method` is its path, `request` the serialized message, `timeout` in seconds from now. `cancel` and `acknowledge`
    are for the caller, from any thread; everything else happens on the event loop.
    """

    def __init__(
        self, method: str, request: bytes, metadata: Metadata, timeout: float | None, receiver: Receiver
    ) -> None:
        self.method = method
        self._request: bytes | None = request
        self._metadata = tuple(metadata)
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._receiver = receiver
        self._serialize: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_cancelled = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_overdue = False
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailers: Metadata = ()
        self._written = self._read = 0
        self._room: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None]

    # for the caller

    def cancel(self) -> None:
        """Cancel the call if it has not ended."""
        self._is_cancelled = True
        if self._loop is not None:
            self._on_loop(self._cancel_task)

    def acknowledge(self, size: int) -> None:
        """Tell that the caller has read messages of this size."""
        self._read += size
        if self._room is not None and not self._is_full:
            self._on_loop(self._make_room)

    def _on_loop(self, act: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(act, context=Context())
        except RuntimeError:
            return  # the event loop is closed, and with it every call has ended

    # for the server, instead of `start`

    def refuse(self, reason: str, *, is_closed: bool) -> None:
        """End the call: the server `is_closed`, or could not start."""
        self.end(grpc.StatusCode.CANCELLED if is_closed else grpc.StatusCode.FAILED_PRECONDITION, reason)

    # on the event loop

    def start(self, loop: asyncio.AbstractEventLoop, method: Any, context: Context) -> None:
        """Run the handler of the method in a task."""
        self._serialize = method.response_serializer
        if self._deadline is not None:
            remaining = max(0.0, self._deadline - time.monotonic())
            self._timer = loop.call_later(remaining, self._expire, context=context)
        self.task = loop.create_task(self._run(method), context=context)
        self.task.add_done_callback(self._on_done, context=context)
        self._loop = loop
        if self._is_cancelled:  # before there was a task
            self.task.cancel()

    async def _run(self, method: Any) -> None:
        if method.response_streaming:
            await method.stream_stream(None, self)
        else:
            self._receiver.on_message(await method.stream_unary(None, self))

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """Tell the status. Not the task's own work: a task that is cancelled before it runs does none."""
        if self._timer is not None:
            self._timer.cancel()
        if task.cancelled():
            if self._is_overdue:
                self.end(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
            else:
                self.end(grpc.StatusCode.CANCELLED, "The call was cancelled.")
            return
        error = task.exception()
        if error is None:
            self.end(grpc.StatusCode.OK, "", self._trailers)
        elif isinstance(error, grpc.aio.AbortError):
            self.end(self._code or grpc.StatusCode.UNKNOWN, self._details, self._trailers)
        else:  # a bug: the interceptors translate every error of a method
            self.end(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error).__name__}")

    def end(self, code: grpc.StatusCode, details: str, trailers: Metadata = ()) -> None:
        """Tell the caller that the call has ended."""
        self._receiver.on_end(code, details, trailers)

    def _expire(self) -> None:
        self._is_overdue = True
        self.task.cancel()

    def _cancel_task(self) -> None:
        self.task.cancel()

    @property
    def _is_full(self) -> bool:
        return self._written - self._read > MAX_UNREAD_BYTES

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # the ServicerContext, as far as interceptors and services use it

    def invocation_metadata(self) -> Metadata:
        """Return the metadata of the caller."""
        return self._metadata

    def peer(self) -> str:
        """Return the caller's address."""
        return f"{IN_PROCESS}:"

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what a certificate would prove."""
        return {}

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def code(self) -> grpc.StatusCode | None:
        """Return the status that the call was aborted with."""
        return self._code

    async def read(self) -> Any:
        """Return the request, then EOF."""
        request, self._request = self._request, None
        return grpc.aio.EOF if request is None else request

    async def write(self, message: Any) -> None:
        """Send one message of a stream; wait while the caller has too many to read."""
        data = self._serialize(message)
        self._written += len(data)
        self._receiver.on_message(data)
        while self._is_full:
            self._room = asyncio.get_running_loop().create_future()
            try:
                if self._is_full:  # unless it was read before `_room` could be seen
                    await self._room
            finally:
                self._room = None

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Ignore the headers: the request id is also in the response and in the trailers."""

    def set_trailing_metadata(self, trailers: Metadata) -> None:
        """Set the trailers of a call that succeeds."""
        self._trailers = trailers

    def disable_next_message_compression(self) -> None:
        """Do nothing: no message is compressed."""

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> Never:
        """End the call with a status."""
        self._code, self._details, self._trailers = code, details, trailing_metadata
        raise grpc.aio.AbortError("Aborted.")
