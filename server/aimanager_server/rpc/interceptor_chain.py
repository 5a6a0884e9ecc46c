"""The one gRPC interceptor: runs ours around every method, unary and streaming alike."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ..core.errors import GatewayError, InvalidRequest, PayloadTooLarge
from .context import CURRENT, Interceptor, Proceed, Rpc

COMPRESS_BYTES = 8 * 1024
"""Unary answers above this are compressed; a stream's events are far below and would grow."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a request that could not be read, until there is somebody to tell."""

    fault: GatewayError


class Chain(grpc.aio.ServerInterceptor):
    """Runs `interceptors`, the first listed outermost, around every method; each method is wrapped once.

    A request above `message_bytes` is refused before it is decoded.
    """

    def __init__(self, interceptors: Sequence[Interceptor], message_bytes: int) -> None:
        self._interceptors = tuple(interceptors)
        self._message_bytes = message_bytes
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The wrapped handler of a method; None where there is no such method."""
        method: str = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        wrapped = self._wrapped[method] = self._wrap(method.lstrip("/"), handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        service = method.rpartition("/")[0]
        behaviour = _streaming(handler) if handler.response_streaming else _unary(handler)
        for interceptor in reversed(self._interceptors):
            if interceptor.covers(service):
                behaviour = _around(interceptor, behaviour)

        async def serve(request: Any, context: Any) -> Any:
            rpc = Rpc(method, context)
            CURRENT.set(rpc)
            return await behaviour(rpc, request)

        read = _reading(handler.request_deserializer, method, self._message_bytes)
        return _constructor(handler)(serve, read, handler.response_serializer if handler.response_streaming else None)


def _constructor(handler: Any) -> Any:
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return kinds[bool(handler.request_streaming), bool(handler.response_streaming)]


def _around(interceptor: Interceptor, proceed: Proceed) -> Proceed:
    def behave(rpc: Rpc, request: Any) -> Awaitable[Any]:
        return interceptor.around(rpc, request, proceed)

    return behave


def _unary(handler: Any) -> Proceed:
    behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
    readable = _each_readable if handler.request_streaming else _readable
    serialize = handler.response_serializer

    # Serialized in here, so that a response that cannot be is a fault like any other.
    async def behave(rpc: Rpc, request: Any) -> bytes:
        payload: bytes = serialize(await behaviour(readable(request), rpc.context))
        if len(payload) > COMPRESS_BYTES:
            rpc.context.set_compression(grpc.Compression.Gzip)
            await rpc.open()
        return payload

    return behave


def _streaming(handler: Any) -> Proceed:
    behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
    readable = _each_readable if handler.request_streaming else _readable
    if not inspect.isasyncgenfunction(behaviour):

        async def write_itself(rpc: Rpc, request: Any) -> None:
            await behaviour(readable(request), rpc.context)

        return write_itself

    # Handed to gRPC as a generator, a cancel under back-pressure would run its `finally` in another context
    # (https://github.com/grpc/grpc/issues/42295, read 2026-11).
    async def write_for_it(rpc: Rpc, request: Any) -> None:
        async with aclosing(behaviour(readable(request), rpc.context)) as messages:
            async for message in messages:
                await rpc.write(message)

    return write_for_it


def _reading(deserialize: Any, method: str, message_bytes: int) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if len(data) > message_bytes:
            return Unreadable(_too_large(len(data), message_bytes))
        try:
            return deserialize(data)
        except (DecodeError, ValueError):
            return Unreadable(_garbage(method))

    return read


def _readable(request: Any) -> Any:
    if isinstance(request, Unreadable):
        raise request.fault
    return request


async def _each_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)


def _too_large(actual: int, limit: int) -> GatewayError:
    return PayloadTooLarge(
        f"The request has {actual} bytes; at most {limit} are accepted.",
        metadata={"limit": str(limit), "actual": str(actual)},
    )


def _garbage(method: str) -> GatewayError:
    return InvalidRequest(
        f"The request to {method} cannot be decoded: it is not its protobuf message, or holds text that is not UTF-8.",
        solution="Generate the client from the proto files of this server's version.",
    )
