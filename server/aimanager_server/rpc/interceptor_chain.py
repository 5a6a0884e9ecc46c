"""Interceptors: their interface, and the chain that binds them to every method at its registration."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from .context import Rpc, current_rpc
from .policies import POLICIES
from .request_receiver import Receive, RequestReceiver

GRPC_HEALTH_SERVICE = "grpc.health.v1.Health"

COMPRESSION_THRESHOLD_BYTES = 8 * 1024
"""Larger unary responses are compressed if the client accepts it, as the option of the server says.

Stream messages never are: most are small and compression would grow them.
"""

RpcHandler = Callable[[Rpc], Awaitable[Any]]
"""The next interceptor, or the innermost handler, which receives the request and calls the service method."""


class Interceptor(ABC):
    """Wrap RPCs, unary and streaming alike."""

    def applies_to(self, service: str) -> bool:
        """Return whether this interceptor runs for a service. Called once a method, not once a call."""
        return True

    @abstractmethod
    def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Awaitable[Any]:
        """Handle the RPC, usually through `proceed(rpc)`. A stream is completely written on return.

        The request is received only after every interceptor has let the RPC proceed. An interceptor that acts only
        before the method returns `proceed(rpc)` instead of awaiting it, which saves a coroutine per call.
        """


class CallerInterceptor(Interceptor):
    """An interceptor that may reject callers; it does not apply to the standard health service."""

    def applies_to(self, service: str) -> bool:
        """Exclude the standard health service: its probes carry no credentials."""
        return service != GRPC_HEALTH_SERVICE


class InterceptorChain:
    """Bind `interceptors`, outermost first, to every method registered through `registrar`.

    A `grpc.aio.ServerInterceptor` would look up the method again for each call. Every method is registered as one with
    a request stream: for other methods gRPC receives the whole message before it calls the handler, from any sender.
    """

    def __init__(self, interceptors: Sequence[Interceptor], receiver: RequestReceiver) -> None:
        self._interceptors = tuple(interceptors)
        self._receiver = receiver
        self._handlers: dict[str, RpcHandler] = {}

    def registrar(self, server: Any) -> Any:
        """Return a stand-in for `server` to pass to generated `add_…_to_server` functions; it wraps each method."""
        return _Registrar(server, self._wrap)

    def bind(self, services: Iterable[Any]) -> None:
        """Bind the interceptors to every method of these services, which another chain has registered."""
        for service in services:
            service.add_to(_Registrar(None, self._wrap))

    def adopt(self, other: InterceptorChain) -> None:
        """Handle RPCs that arrive from now on as the other chain would; those in flight are not affected."""
        self._interceptors, self._receiver, self._handlers = other._interceptors, other._receiver, other._handlers

    def _wrap(self, service: str, name: str, handler: Any) -> Any:
        method = f"{service}/{name}"
        policy = POLICIES[method]
        receive = self._receiver.bind(method, handler.request_deserializer, is_stream=handler.request_streaming)
        behavior = _stream_handler(handler, receive) if handler.response_streaming else _unary_handler(handler, receive)
        for interceptor in reversed(self._interceptors):
            if interceptor.applies_to(service):
                behavior = _bind(interceptor, behavior)
        self._handlers.setdefault(method, behavior)  # unless it is registered with another listener already

        async def serve(requests: Any, context: Any) -> Any:
            rpc = Rpc(method, context, policy)
            current_rpc.set(rpc)
            try:
                return await self._handlers[method](rpc)
            except grpc.aio.AbortError as error:
                asyncio.get_running_loop().call_soon(_release_frames, error)
                raise

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(serve, None, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(serve)


class _Registrar:
    """Register methods with `server`, if any, each wrapped by `wrap(service, name, handler)`."""

    def __init__(self, server: Any | None, wrap: Callable[[str, str, Any], Any]) -> None:
        self._server = server
        self._wrap = wrap

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Register the methods of a service by name.

        As generic handlers: grpc.aio 1.85 waits for the next call of each registered method separately, and
        starts and ends all of these waits again for every call.
        """
        wrapped = {name: self._wrap(service, name, handler) for name, handler in handlers.items()}
        if self._server is None:
            return
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Ignore the handlers: generated code offers the same methods here a second time, and these are not wrapped."""


def _release_frames(error: BaseException | None) -> None:
    """Drop the tracebacks and causes of an error. gRPC keeps the error of an aborted call in a reference cycle.

    The frames would keep the call, its request and its response in memory until a full garbage collection.
    """
    while error is not None:
        cause = error.__cause__ or error.__context__
        error.__traceback__ = error.__cause__ = error.__context__ = None
        error = cause


def _bind(interceptor: Interceptor, proceed: RpcHandler) -> RpcHandler:
    intercept = interceptor.intercept

    def handle(rpc: Rpc) -> Awaitable[Any]:
        return intercept(rpc, proceed)

    return handle


def _unary_handler(handler: Any, receive: Receive) -> RpcHandler:
    behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary
    serialize = handler.response_serializer

    # Serialized here, inside the interceptors, so that a serialization failure is translated like any other error.
    async def handle(rpc: Rpc) -> bytes:
        payload: bytes = serialize(await behavior(await receive(rpc), rpc.context))
        if len(payload) <= COMPRESSION_THRESHOLD_BYTES:
            rpc.context.disable_next_message_compression()
        return payload

    return handle


def _stream_handler(handler: Any, receive: Receive) -> RpcHandler:
    behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
    if not inspect.isasyncgenfunction(behavior):

        async def handle_writer(rpc: Rpc) -> None:
            await behavior(await receive(rpc), rpc.context)

        return handle_writer

    # If gRPC iterated the generator, a cancellation under back-pressure would run its `finally` in another context
    # (https://github.com/grpc/grpc/issues/42295, read 2026-11).
    async def handle_generator(rpc: Rpc) -> None:
        async with aclosing(behavior(await receive(rpc), rpc.context)) as messages:
            async for message in messages:
                await rpc.write(message)

    return handle_generator
