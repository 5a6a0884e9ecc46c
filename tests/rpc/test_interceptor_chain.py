"""The interceptor chain: methods are wrapped once, when they are registered."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable
from types import FrameType
from typing import Any

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceServicer, add_GenerationServiceServicer_to_server
from aimanager_server.config.settings import Limits
from aimanager_server.resilience.rate_limiter import RateLimiter
from aimanager_server.resilience.rejection_pacer import RejectionPacer
from aimanager_server.resilience.request_turns import RequestTurns
from aimanager_server.rpc.context import Rpc
from aimanager_server.rpc.interceptor_chain import Interceptor, InterceptorChain, RpcHandler
from aimanager_server.rpc.interceptors.admission import Admission
from aimanager_server.rpc.interceptors.errors import ErrorTranslator
from aimanager_server.rpc.interceptors.metrics import RpcMetrics
from aimanager_server.rpc.interceptors.rate_limit import RateLimit
from aimanager_server.rpc.interceptors.request_id import RequestId
from aimanager_server.rpc.request_receiver import RequestReceiver
from aimanager_server.telemetry.metrics import Metrics
from tests.support.clock import FakeClock
from tests.support.layers import telemetry_layer
from tests.support.rpc import REQUEST, authenticator, server_settings

SERVICE = "aimanager.v1.GenerationService"


class CallDetails:
    """What gRPC looks a method up by."""

    invocation_metadata = ()

    def __init__(self, method: str) -> None:
        self.method = f"/{method}"


class FakeServer:
    """Record what is registered. It has no registered methods, for each of which grpc.aio waits separately."""

    def __init__(self) -> None:
        self._handlers: list[Any] = []

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        self._handlers += handlers

    def find(self, method: str) -> list[Any]:
        """Return every handler of a method."""
        found = [handler.service(CallDetails(method)) for handler in self._handlers]
        return [handler for handler in found if handler is not None]


class FakeContext:
    """The context of an RPC without metadata or deadline."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def set_trailing_metadata(self, metadata: object) -> None: ...

    def time_remaining(self) -> None: ...

    def disable_next_message_compression(self) -> None: ...

    async def read(self) -> bytes:
        return REQUEST.SerializeToString()


class FrameCounter(GenerationServiceServicer):
    """Count the frames between gRPC's call and Generate, without Generate's own."""

    def __init__(self) -> None:
        self.frames = 0

    async def Generate(  # noqa: N802  # the proto names it
        self, request: generation_pb2.GenerateRequest, context: Any
    ) -> generation_pb2.GenerateResponse:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and "aimanager_server" in frame.f_code.co_filename:
            self.frames += 1
            frame = frame.f_back
        return generation_pb2.GenerateResponse(message=content_pb2.Message(role=content_pb2.ROLE_ASSISTANT))

    async def StreamGenerate(  # type: ignore[override]  # noqa: N802  # the proto names it
        self, request: generation_pb2.StreamGenerateRequest, context: Any
    ) -> None: ...


class RecordingInterceptor(Interceptor):
    """Record the lookups and the calls that it receives."""

    def __init__(self) -> None:
        self.services: list[str] = []
        self.calls: list[str] = []

    def applies_to(self, service: str) -> bool:
        self.services.append(service)
        return True

    def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Awaitable[Any]:
        self.calls.append(rpc.method)
        return proceed(rpc)


def register(servicer: GenerationServiceServicer, *interceptors: Interceptor) -> FakeServer:
    """Register a servicer through a chain."""
    server: Any = FakeServer()
    chain = InterceptorChain(interceptors, RequestReceiver(Limits(), 30.0, RequestTurns()))
    add_GenerationServiceServicer_to_server(servicer, chain.registrar(server))
    recorded: FakeServer = server
    return recorded


async def call_generate(server: FakeServer) -> bytes:
    """Call Generate as gRPC does."""
    (handler,) = server.find(f"{SERVICE}/Generate")
    response: bytes = await handler.stream_unary(None, FakeContext())
    return response


async def test_applicability_is_decided_once_per_method() -> None:
    interceptor = RecordingInterceptor()
    server = register(FrameCounter(), interceptor)

    await call_generate(server)
    await call_generate(server)

    assert interceptor.services == [SERVICE] * 2
    assert interceptor.calls == [f"{SERVICE}/Generate"] * 2


def test_every_method_is_registered_once() -> None:
    server = register(FrameCounter(), RecordingInterceptor())

    for method in ("Generate", "StreamGenerate"):
        assert len(server.find(f"{SERVICE}/{method}")) == 1


async def test_interceptors_that_only_act_before_the_method_add_no_frame() -> None:
    servicer, settings = FrameCounter(), server_settings()
    metrics = Metrics(lambda provider, model: True)
    server = register(
        servicer,
        RequestId(),
        RpcMetrics(metrics, time.monotonic),
        ErrorTranslator(metrics, telemetry_layer(metrics, FakeClock()).count_rejected, RejectionPacer()),
        authenticator(settings),
        RateLimit(RateLimiter(time.monotonic), settings.tiers),
        Admission(settings.server),
    )

    await call_generate(server)

    # The entry, metrics, errors, admission, and the receiver, which serializes the response as well.
    assert servicer.frames == 5
