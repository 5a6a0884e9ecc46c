"""Interceptors: their interface, and the chain that binds them to every method at its registration."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ..core.errors import GatewayError, InvalidRequest, PayloadTooLarge
from .context import Rpc, current_rpc

GRPC_HEALTH_SERVICE = "grpc.health.v1.Health"

COMPRESSION_THRESHOLD_BYTES = 8 * 1024
"""Larger unary responses are compressed. Stream messages never are: most are small and compression would grow them."""

RpcHandler = Callable[[Rpc, Any], Awaitable[Any]]
"""The next interceptor, or the service method itself."""


class Interceptor(ABC):
    """Wrap RPCs, unary and streaming alike."""

    def applies_to(self, service: str) -> bool:
        """Return whether this interceptor runs for a service. Called once a method, not once a call."""
        return True

    @abstractmethod
    def intercept(self, rpc: Rpc, request: Any, proceed: RpcHandler) -> Awaitable[Any]:
        """Handle the request, usually through `proceed(rpc, request)`. A stream is completely written on return.

        An interceptor that acts only before the method returns `proceed(rpc, request)` instead of awaiting it, which
        saves a coroutine per call.
        """


class CallerInterceptor(Interceptor):
    """An interceptor that may reject callers; it does not apply to the standard health service."""

    def applies_to(self, service: str) -> bool:
        """Exclude the standard health service: its probes carry no credentials."""
        return service != GRPC_HEALTH_SERVICE


@dataclass(frozen=True, slots=True)
class UnreadableRequest:
    """Take the place of a request that cannot be decoded, until the innermost handler raises `error`."""

    error: GatewayError


class InterceptorChain:
    """Bind `interceptors`, outermost first, to every method registered through `registrar`.

    A `grpc.aio.ServerInterceptor` would look up the method again for each call. Requests larger than
    `max_message_bytes` are rejected before they are decoded.
    """

    def __init__(self, interceptors: Sequence[Interceptor], max_message_bytes: int) -> None:
        self._interceptors = tuple(interceptors)
        self._max_message_bytes = max_message_bytes

    def registrar(self, server: grpc.aio.Server) -> Any:
        """Return a stand-in for `server` to pass to generated `add_…_to_server` functions; it wraps each method."""
        return _Registrar(server, self._wrap)

    def _wrap(self, service: str, name: str, handler: Any) -> Any:
        method = f"{service}/{name}"
        behavior = _stream_handler(handler) if handler.response_streaming else _unary_handler(handler)
        for interceptor in reversed(self._interceptors):
            if interceptor.applies_to(service):
                behavior = _bind(interceptor, behavior)

        async def serve(request: Any, context: Any) -> Any:
            rpc = Rpc(method, context)
            current_rpc.set(rpc)
            return await behavior(rpc, request)

        read = _deserializer(handler.request_deserializer, method, self._max_message_bytes)
        write = handler.response_serializer if handler.response_streaming else None
        return _method_handler(handler)(serve, read, write)


class _Registrar:
    """Register methods with `server`, each wrapped by `wrap(service, name, handler)`."""

    def __init__(self, server: Any, wrap: Callable[[str, str, Any], Any]) -> None:
        self._server = server
        self._wrap = wrap

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Register the methods of a service by name."""
        wrapped = {name: self._wrap(service, name, handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))
        # Takes precedence and is faster to look up; grpc.aio before 1.84 ignores it.
        self._server.add_registered_method_handlers(service, wrapped)

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Ignore the handlers: generated code offers the same methods here a second time, and these are not wrapped."""


def _method_handler(handler: Any) -> Any:
    constructors = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return constructors[bool(handler.request_streaming), bool(handler.response_streaming)]


def _bind(interceptor: Interceptor, proceed: RpcHandler) -> RpcHandler:
    intercept = interceptor.intercept

    def handle(rpc: Rpc, request: Any) -> Awaitable[Any]:
        return intercept(rpc, request, proceed)

    return handle


def _unary_handler(handler: Any) -> RpcHandler:
    behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary
    decoded = _decoded_stream if handler.request_streaming else _decoded
    serialize = handler.response_serializer

    # Serialized here, inside the interceptors, so that a serialization failure is translated like any other error.
    async def handle(rpc: Rpc, request: Any) -> bytes:
        payload: bytes = serialize(await behavior(decoded(request), rpc.context))
        if len(payload) > COMPRESSION_THRESHOLD_BYTES:
            rpc.context.set_compression(grpc.Compression.Gzip)
            await rpc.send_headers()
        return payload

    return handle


def _stream_handler(handler: Any) -> RpcHandler:
    behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
    decoded = _decoded_stream if handler.request_streaming else _decoded
    if not inspect.isasyncgenfunction(behavior):

        async def handle_writer(rpc: Rpc, request: Any) -> None:
            await behavior(decoded(request), rpc.context)

        return handle_writer

    # If gRPC iterated the generator, a cancellation under back-pressure would run its `finally` in another context
    # (https://github.com/grpc/grpc/issues/42295, read 2026-11).
    async def handle_generator(rpc: Rpc, request: Any) -> None:
        async with aclosing(behavior(decoded(request), rpc.context)) as messages:
            async for message in messages:
                await rpc.write(message)

    return handle_generator


def _deserializer(deserialize: Any, method: str, max_bytes: int) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if len(data) > max_bytes:
            return UnreadableRequest(_too_large(len(data), max_bytes))
        try:
            return deserialize(data)
        except (DecodeError, ValueError):
            return UnreadableRequest(_undecodable(method))

    return read


def _decoded(request: Any) -> Any:
    if isinstance(request, UnreadableRequest):
        raise request.error
    return request


async def _decoded_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _decoded(request)


def _too_large(actual: int, limit: int) -> GatewayError:
    return PayloadTooLarge(
        f"The request must not exceed {limit} bytes, got {actual}.",
        metadata={"limit": str(limit), "actual": str(actual)},
    )


def _undecodable(method: str) -> GatewayError:
    return InvalidRequest(
        f"Cannot decode the request to {method}: invalid protobuf message, or text that is not UTF-8.",
        solution="Generate the client from the proto files of this server's version.",
    )
