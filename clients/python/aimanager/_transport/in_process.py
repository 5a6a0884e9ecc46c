"""gRPC channels to a server in this process, which carry no bytes over a network."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, NoReturn, Protocol

import grpc
import grpc.aio

Metadata = Iterable[tuple[str, str | bytes]]
OK = grpc.StatusCode.OK


class ServerCall(Protocol):
    """The server's end of a call. Threads may share it."""

    def cancel(self) -> None:
        """Cancel the call if it has not ended."""

    def acknowledge(self, size: int) -> None:
        """Tell that messages of this size were read."""


class Server(Protocol):
    """A server in this process."""

    def start_call(
        self, method: str, request: bytes, metadata: Metadata, timeout: float | None, receiver: Receiver
    ) -> ServerCall:
        """Start a call without blocking. Raises ConfigurationError in a forked process."""

    def require_started(self) -> None:
        """Raise ConfigurationError if the server could not start."""


class Receiver(Protocol):
    """What the server calls, from its thread."""

    def on_message(self, data: bytes) -> None:
        """Receive the response, or one message of a stream."""

    def on_end(self, code: grpc.StatusCode, details: str, trailers: Metadata) -> None:
        """Receive the status, once."""


class Status(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode
    details: str
    trailers: Metadata


class Method(NamedTuple):
    """One method of the server, with the functions of its messages."""

    server: Server
    path: str
    serialize: Callable[[Any], bytes]
    deserialize: Callable[[bytes], Any]

    def start(self, request: Any, metadata: Any, timeout: float | None, receiver: Receiver) -> ServerCall:
        """Send a request."""
        return self.server.start_call(self.path, self.serialize(request), metadata or (), timeout, receiver)

    def require_ok(self, status: Status) -> None:
        """Raise AioRpcError for a call that failed, and ConfigurationError if it did since the server cannot start."""
        if status.code is not OK:
            self.server.require_started()
            trailers = grpc.aio.Metadata(*status.trailers)
            raise grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailers, details=status.details)


def _no_request_streams(*_arguments: Any, **_options: Any) -> NoReturn:
    raise NotImplementedError("no method of the API has a request stream")


def _only_plain_calls(*_arguments: Any, **_options: Any) -> NoReturn:
    raise NotImplementedError("with_call and future need a channel of gRPC; call the method itself in process")


class InProcessChannel(grpc.Channel):
    """A channel for threads. Every method of the API has a single request."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Return a function that calls a unary method."""
        return _Unary(Method(self._server, method, request_serializer, response_deserializer))

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Return a function that calls a streaming method."""
        bound = Method(self._server, method, request_serializer, response_deserializer)

        def start(request: Any, timeout: float | None = None, metadata: Any = None, *_: Any, **__: Any) -> Any:
            return _Stream(bound, request, metadata, timeout)

        return start

    stream_unary = stream_stream = _no_request_streams

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        """Report that the server is reachable."""
        callback(grpc.ChannelConnectivity.READY)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """Do nothing: the state does not change."""

    def close(self) -> None:
        """Do nothing: the owner of the server closes it."""

    def __enter__(self) -> InProcessChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Unary:
    __slots__ = ("_method",)

    def __init__(self, method: Method) -> None:
        self._method = method

    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, *_: Any, **__: Any) -> Any:
        receiver = _Response()
        call = self._method.start(request, metadata, timeout, receiver)
        try:
            receiver.ended.acquire()
        except BaseException:  # Ctrl-C
            call.cancel()
            raise
        self._method.require_ok(receiver.status)
        return self._method.deserialize(receiver.data)

    future = with_call = staticmethod(_only_plain_calls)


class _Response:
    """Receives one response. `ended` is locked until then; a lock costs less than an Event."""

    __slots__ = ("data", "ended", "status")
    status: Status

    def __init__(self) -> None:
        self.data = b""
        self.ended = threading.Lock()
        self.ended.acquire()

    def on_message(self, data: bytes) -> None:
        self.data = data

    def on_end(self, code: grpc.StatusCode, details: str, trailers: Metadata) -> None:
        self.status = Status(code, details, trailers)
        self.ended.release()


class _Messages:
    """Receives a stream. Not the iterator itself, which must be released once nothing reads it."""

    __slots__ = ("on_message", "queue")

    def __init__(self) -> None:
        self.queue: SimpleQueue[bytes | Status] = SimpleQueue()
        self.on_message = self.queue.put

    def on_end(self, code: grpc.StatusCode, details: str, trailers: Metadata) -> None:
        self.queue.put(Status(code, details, trailers))


class _Stream(Iterator[Any]):
    """The messages of a stream; dropping it cancels the call."""

    def __init__(self, method: Method, request: Any, metadata: Any, timeout: float | None) -> None:
        self._method = method
        self._received = _Messages()
        self._status: Status | None = None
        self._call: ServerCall | None = None
        self._call = method.start(request, metadata, timeout, self._received)

    def __next__(self) -> Any:
        if self._status is None:
            item = self._received.queue.get()
            if not isinstance(item, Status):
                assert self._call is not None
                self._call.acknowledge(len(item))
                return self._method.deserialize(item)
            self._status = item
        self._method.require_ok(self._status)
        raise StopIteration

    def cancel(self) -> bool:
        """Cancel the call; return whether it had not ended."""
        if self._status is not None or self._call is None:
            return False
        self._call.cancel()
        return True

    def __del__(self) -> None:
        self.cancel()


class AsyncInProcessChannel(grpc.aio.Channel):
    """A channel for asyncio; its calls belong to the loop that they are made in, of which there may be several."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Return a function that calls a unary method."""
        bound = Method(self._server, method, request_serializer, response_deserializer)

        def start(request: Any, *, timeout: float | None = None, metadata: Any = None, **__: Any) -> Any:
            return _AsyncUnaryCall(bound, request, metadata, timeout)

        return start

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Return a function that calls a streaming method."""
        bound = Method(self._server, method, request_serializer, response_deserializer)

        def start(request: Any, *, timeout: float | None = None, metadata: Any = None, **__: Any) -> Any:
            return _AsyncStreamCall(bound, request, metadata, timeout)

        return start

    stream_unary = stream_stream = _no_request_streams

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return that the server is reachable."""
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait forever if the last state was READY: it does not change."""
        if last_observed_state is grpc.ChannelConnectivity.READY:
            await asyncio.get_running_loop().create_future()

    async def channel_ready(self) -> None:
        """Return at once."""

    async def close(self, grace: float | None = None) -> None:
        """Do nothing: the owner of the server closes it."""

    async def __aenter__(self) -> AsyncInProcessChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _AsyncUnaryCall:
    """A unary call in flight. Awaiting it returns the response; cancelling that cancels the call."""

    def __init__(self, method: Method, request: Any, metadata: Any, timeout: float | None) -> None:
        self._method = method
        self._response = _AsyncResponse()
        self._call = method.start(request, metadata, timeout, self._response)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            status = yield from self._response.status
        except asyncio.CancelledError:
            self._call.cancel()
            raise
        self._method.require_ok(status)
        return self._method.deserialize(self._response.data)

    def cancel(self) -> bool:
        """Cancel the call; return whether it had not ended."""
        self._call.cancel()
        return not self._response.status.done()


class _AsyncResponse:
    """Receives one response on the server's thread, and hands it to the loop of the caller."""

    __slots__ = ("_loop", "data", "status")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.data = b""
        self.status: asyncio.Future[Status] = self._loop.create_future()

    def on_message(self, data: bytes) -> None:
        self.data = data

    def on_end(self, code: grpc.StatusCode, details: str, trailers: Metadata) -> None:
        with suppress(RuntimeError):  # the loop of the caller is closed
            self._loop.call_soon_threadsafe(self._set, Status(code, details, trailers))

    def _set(self, status: Status) -> None:
        if not self.status.done():
            self.status.set_result(status)


class _AsyncStreamCall:
    """A stream in flight; dropping it cancels the call."""

    def __init__(self, method: Method, request: Any, metadata: Any, timeout: float | None) -> None:
        self._method = method
        self._status: Status | None = None
        self._received = _AsyncMessages()
        self._received.call = method.start(request, metadata, timeout, self._received)

    async def read(self) -> Any:
        """Return the next message, or EOF after the last. Raises AioRpcError. A cancellation cancels the call."""
        if self._status is None:
            item = await self._received.next()
            if not isinstance(item, Status):
                assert self._received.call is not None
                self._received.call.acknowledge(len(item))
                return self._method.deserialize(item)
            self._status = item
        self._method.require_ok(self._status)
        return grpc.aio.EOF

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    def cancel(self) -> bool:
        """Cancel the call; return whether it had not ended."""
        if self._status is not None or self._received.call is None:
            return False
        self._received.call.cancel()
        return True

    def __del__(self) -> None:
        if hasattr(self, "_received"):
            self.cancel()


class _AsyncMessages:
    """Receives a stream on the server's thread, and hands it to the loop of the caller."""

    __slots__ = ("_items", "_loop", "_waiter", "call")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[bytes | Status] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.call: ServerCall | None = None

    def on_message(self, data: bytes) -> None:
        self._hand_over(data)

    def on_end(self, code: grpc.StatusCode, details: str, trailers: Metadata) -> None:
        self._hand_over(Status(code, details, trailers))

    def _hand_over(self, item: bytes | Status) -> None:
        try:
            self._loop.call_soon_threadsafe(self._append, item)
        except RuntimeError:  # the loop of the caller is closed
            if self.call is not None:
                self.call.cancel()

    def _append(self, item: bytes | Status) -> None:
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> bytes | Status:
        """Return the next message, or the status. A cancellation cancels the call."""
        while not self._items:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                if self.call is not None:
                    self.call.cancel()
                raise
        return self._items.popleft()
