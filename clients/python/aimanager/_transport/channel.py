"""Run operations over a lazily opened gRPC channel, synchronously or in asyncio."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from .._convert.operation import Operation, Request, Response, Result
from ..errors import ConfigurationError, closed_error
from ..types.response import AIResponse
from ..v1 import (
    conversation_pb2_grpc,
    embedding_pb2_grpc,
    generation_pb2_grpc,
    health_pb2_grpc,
    metrics_pb2_grpc,
    model_pb2_grpc,
    quality_pb2_grpc,
)
from .compression import compression_of
from .endpoint import Endpoint, channel_options
from .errors import translate_errors
from .in_process import AsyncInProcessChannel, InProcessChannel
from .retry import RetryState, retry_call, retry_call_async

if TYPE_CHECKING:
    from ..v1.conversation_pb2_grpc import ConversationServiceAsyncStub
    from ..v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub
    from ..v1.generation_pb2_grpc import GenerationServiceAsyncStub
    from ..v1.health_pb2_grpc import HealthServiceAsyncStub
    from ..v1.metrics_pb2_grpc import MetricsServiceAsyncStub
    from ..v1.model_pb2_grpc import ModelServiceAsyncStub
    from ..v1.quality_pb2_grpc import QualityServiceAsyncStub

STATE_TIMEOUT = 1.0  # seconds; gRPC reports the state of a channel at once, from its own thread
UNREACHABLE = (grpc.ChannelConnectivity.CONNECTING, grpc.ChannelConnectivity.TRANSIENT_FAILURE)


@dataclass(frozen=True, slots=True)
class Stubs:
    """Generated stubs. Their calls carry no token, provider key or timeout of the client."""

    generation: generation_pb2_grpc.GenerationServiceStub
    models: model_pb2_grpc.ModelServiceStub
    embeddings: embedding_pb2_grpc.EmbeddingServiceStub
    health: health_pb2_grpc.HealthServiceStub
    quality: quality_pb2_grpc.QualityServiceStub
    metrics: metrics_pb2_grpc.MetricsServiceStub
    conversations: conversation_pb2_grpc.ConversationServiceStub


@dataclass(frozen=True, slots=True)
class AsyncStubs:
    """Generated stubs for asyncio. Their calls carry no token, provider key or timeout of the client."""

    generation: GenerationServiceAsyncStub
    models: ModelServiceAsyncStub
    embeddings: EmbeddingServiceAsyncStub
    health: HealthServiceAsyncStub
    quality: QualityServiceAsyncStub
    metrics: MetricsServiceAsyncStub
    conversations: ConversationServiceAsyncStub


class SyncChannel:
    """A channel that opens on its first call, so that a process may fork before. Threads may share it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._opened: tuple[grpc.Channel, Stubs] | None = None
        self._closed = False

    @property
    def stubs(self) -> Stubs:
        """Stubs of the open channel. Raises ConfigurationError after `close`."""
        with self._lock:
            if self._closed:
                raise closed_error()
            if self._opened is None:
                channel = self._open()
                # Once its state was queried (`is_unreachable`), an open channel keeps the program from exiting.
                weakref.finalize(self, channel.close)
                self._opened = (
                    channel,
                    Stubs(
                        generation_pb2_grpc.GenerationServiceStub(channel),
                        model_pb2_grpc.ModelServiceStub(channel),
                        embedding_pb2_grpc.EmbeddingServiceStub(channel),
                        health_pb2_grpc.HealthServiceStub(channel),
                        quality_pb2_grpc.QualityServiceStub(channel),
                        metrics_pb2_grpc.MetricsServiceStub(channel),
                        conversation_pb2_grpc.ConversationServiceStub(channel),
                    ),
                )
            return self._opened[1]

    def _open(self) -> grpc.Channel:
        endpoint = self.endpoint
        if endpoint.server is not None:
            return InProcessChannel(endpoint.server)
        options = channel_options(endpoint)
        if endpoint.tls:
            return grpc.secure_channel(endpoint.target, endpoint.channel_credentials, options)
        return grpc.insecure_channel(endpoint.target, options)

    def call(self, operation: Operation[Request, Response, Result]) -> Result:
        """Run a unary operation with its retries. Raises AIError."""
        retry = RetryState.of(operation, self.endpoint)

        def send() -> Response:
            with translate_errors(self, operation):
                response: Response = self.start(operation, retry.remaining)
                return response

        return with_waits(operation.read(retry_call(retry, send)), retry)

    def start(self, operation: Operation[Request, Any, Any], timeout: float | None) -> Any:
        """Send an operation once: the response of a unary method, or the call object of a stream."""
        return start_call(self.stubs, self.endpoint, operation, timeout, on_event_loop=False)

    def watch(self, operation: Operation[Request, Response, Result]) -> Generator[Result]:
        """Yield the messages of a server stream. Closing the generator cancels the call. Raises AIError."""
        call = self.start(operation, operation.timeout)
        try:
            with translate_errors(self, operation):
                for message in call:
                    yield operation.read(message)
        finally:
            call.cancel()

    def is_unreachable(self) -> bool:
        """Return whether the channel is trying to connect, without success so far."""
        states: SimpleQueue[grpc.ChannelConnectivity] = SimpleQueue()
        report = states.put
        with self._lock:
            if self._closed or self._opened is None:
                return False
            channel = self._opened[0]
            channel.subscribe(report)
            try:
                return states.get(timeout=STATE_TIMEOUT) in UNREACHABLE
            except Empty:
                return False
            finally:
                channel.unsubscribe(report)

    def close(self) -> None:
        """Close the channel; calls in flight end with reason CANCELLED. Idempotent."""
        with self._lock:
            self._closed = True
            if self._opened is not None:
                self._opened[0].close()
        if self.endpoint.server is not None:
            self.endpoint.server.close()


class AsyncChannel:
    """As SyncChannel, for asyncio: each event loop has its own channel, since gRPC binds a channel to a loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._opened: dict[asyncio.AbstractEventLoop, tuple[grpc.aio.Channel, AsyncStubs]] = {}
        self._lock = threading.Lock()  # event loops run in threads
        self._closed = False

    @property
    def stubs(self) -> AsyncStubs:
        """Stubs of the open channel of the running loop. Raises ConfigurationError after `close`, or without a loop."""
        loop = running_loop()
        if opened := self._opened.get(loop):
            return opened[1]
        with self._lock:
            if self._closed:
                raise closed_error()
            for ended in [other for other in self._opened if other.is_closed()]:
                del self._opened[ended]
            channel = self._open()
            stubs = AsyncStubs(
                generation_pb2_grpc.GenerationServiceStub(channel),
                model_pb2_grpc.ModelServiceStub(channel),
                embedding_pb2_grpc.EmbeddingServiceStub(channel),
                health_pb2_grpc.HealthServiceStub(channel),
                quality_pb2_grpc.QualityServiceStub(channel),
                metrics_pb2_grpc.MetricsServiceStub(channel),
                conversation_pb2_grpc.ConversationServiceStub(channel),
            )
            self._opened[loop] = channel, stubs
            return stubs

    def _open(self) -> grpc.aio.Channel:
        endpoint = self.endpoint
        if endpoint.server is not None:
            return AsyncInProcessChannel(endpoint.server)
        options = channel_options(endpoint)
        if endpoint.tls:
            return grpc.aio.secure_channel(endpoint.target, endpoint.channel_credentials, options)
        return grpc.aio.insecure_channel(endpoint.target, options)

    async def call(self, operation: Operation[Request, Response, Result]) -> Result:
        """Run a unary operation with its retries. Raises AIError."""
        retry = RetryState.of(operation, self.endpoint)

        async def send() -> Response:
            with translate_errors(self, operation):
                response: Response = await self.start(operation, retry.remaining)
                return response

        return with_waits(operation.read(await retry_call_async(retry, send)), retry)

    def start(self, operation: Operation[Request, Any, Any], timeout: float | None) -> Any:
        """Send an operation once and return its call object."""
        return start_call(self.stubs, self.endpoint, operation, timeout, on_event_loop=True)

    async def watch(self, operation: Operation[Request, Response, Result]) -> AsyncGenerator[Result]:
        """Yield the messages of a server stream. Closing the generator cancels the call. Raises AIError."""
        call = self.start(operation, operation.timeout)
        try:
            with translate_errors(self, operation):
                async for message in call:
                    yield operation.read(message)
        finally:
            call.cancel()

    def is_unreachable(self) -> bool:
        """Return whether the channel is trying to connect, without success so far."""
        opened = self._opened.get(running_loop())
        return opened is not None and opened[0].get_state() in UNREACHABLE

    async def close(self) -> None:
        """Close the channels; calls in flight of this loop end with reason CANCELLED. Idempotent."""
        with self._lock:
            self._closed = True
            opened, self._opened = self._opened, {}
        for loop, (channel, _) in opened.items():
            if loop is running_loop():
                await channel.close(grace=None)
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(channel.close(grace=None), loop)
        if self.endpoint.server is not None:
            await asyncio.to_thread(self.endpoint.server.close)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop. Raises ConfigurationError without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "AsyncAIManager needs a running event loop.", "Call it in a coroutine, or use AIManager."
        ) from None


def with_waits(result: Result, retry: RetryState) -> Result:
    """Return the result with the attempts that the gateway's rate limit rejected, if it is a response."""
    if retry.waited and isinstance(result, AIResponse):
        return type(result).from_proto(result.proto, result.output, retry.waited)
    return result


def start_call(
    stubs: Stubs | AsyncStubs,
    endpoint: Endpoint,
    operation: Operation[Request, Any, Any],
    timeout: float | None,
    *,
    on_event_loop: bool,
) -> Any:
    """Call the stub method of an operation with its metadata, compressed if that is worth it."""
    method: Callable[..., Any] = attrgetter(operation.method)(stubs)
    request, metadata = operation.request, endpoint.metadata(with_provider_key=operation.sends_provider_key)
    if endpoint.compresses:
        compression = compression_of(request, on_event_loop=on_event_loop)
        return method(request, timeout=timeout, metadata=metadata, compression=compression)
    return method(request, timeout=timeout, metadata=metadata)
