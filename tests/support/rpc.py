"""What the tests of the gRPC side share: a real server on a port of its own around a handler of a few lines."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import grpc
import grpc.aio

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.config.settings import Settings
from aimanager_server.core.content import Text
from aimanager_server.core.handler import Handler
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ResponseMetadata,
    ResponseStream,
    TextDelta,
)
from aimanager_server.core.usage import Usage
from aimanager_server.core.usage import UsageSource as Source
from aimanager_server.operations.count_tokens import Count
from aimanager_server.operations.embed import Embed
from aimanager_server.resilience.rate_limiter import Limiter
from aimanager_server.routing.embedding_resolver import EmbedResolver
from aimanager_server.routing.resolver import Resolver
from aimanager_server.rpc.interceptors.admission import Admit
from aimanager_server.rpc.interceptors.auth import Authenticate
from aimanager_server.rpc.interceptors.errors import TranslateErrors
from aimanager_server.rpc.interceptors.metrics import Measure
from aimanager_server.rpc.interceptors.rate_limit import RateLimit
from aimanager_server.rpc.interceptors.request_id import Correlate
from aimanager_server.rpc.server import Server
from aimanager_server.rpc.services.assess_providers import Assessing, Price
from aimanager_server.rpc.services.count_tokens import Counting
from aimanager_server.rpc.services.embeddings import EmbeddingService
from aimanager_server.rpc.services.generation import GenerationService, Timeouts
from aimanager_server.rpc.services.health import HealthService, ProviderHealth
from aimanager_server.rpc.services.metrics_summary import Summing
from aimanager_server.rpc.services.models import ModelService, Refresh
from aimanager_server.telemetry.metrics import Metrics
from aimanager_server.telemetry.model_stats import Quality
from aimanager_server.telemetry.usage_stats import Sums
from tests.support.rpc_health import Healthy

TOKEN = "token-of-team-a"
CANARY = "sk-canary-7f3a"
QUESTION = generation_pb2.GenerateRequest(
    model="mock/mock-large",
    messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")])],
)
STREAMED = generation_pb2.StreamGenerateRequest(request=QUESTION)
HELLO: tuple[Event, ...] = (
    TextDelta(0, "Hel"),
    TextDelta(0, "lo"),
    PartCompleted(0, Text("Hello")),
    Finished(FinishReason.STOP, "stop", Usage(3, 2, source=Source.REPORTED)),
)


def settings(server: dict[str, Any] | None = None, **sections: Any) -> Settings:
    """Settings of a server on a free port of this machine that drains without waiting."""
    quick = {"listen": "127.0.0.1:0", "drain_notice_seconds": 0.0, "drain_seconds": 5.0}
    return Settings.model_validate({"server": {**quick, **(server or {})}, **sections})


def callers(*names: str) -> dict[str, Any]:
    """Callers whose tokens are `token-of-NAME`."""
    return {name: {"token_sha256": hashlib.sha256(f"token-of-{name}".encode()).hexdigest()} for name in names}


def bearer(name: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a caller."""
    return (("authorization", f"Bearer token-of-{name}"),)


def reply_of_events(call: Call, events: AsyncIterator[Event], closed: asyncio.Event | None = None) -> ResponseStream:
    """A Reply that says `events` and notes that it was closed."""

    async def close() -> None:
        if closed is not None:
            closed.set()

    return ResponseStream(
        ResponseMetadata(call.id, call.requested_model, call.target.provider, call.target.model), events, close
    )


def saying(*events: Event) -> Handler:
    """A handler that answers with these events."""

    async def handle(call: Call) -> ResponseStream:
        async def said() -> AsyncIterator[Event]:
            for event in events:
                yield event

        return reply_of_events(call, said())

    return handle


def failing(error: BaseException) -> Handler:
    """A handler that raises."""

    async def handle(call: Call) -> ResponseStream:
        raise error

    return handle


class Waiting:
    """A handler that answers once told to, and knows how many calls it has seen."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, call: Call) -> ResponseStream:
        """Wait for `go`."""
        self.calls.append(call)
        self.entered.set()
        await self.go.wait()
        return await saying(*HELLO)(call)


async def no_news(provider: str) -> None:
    """A refresh that brings nothing."""


def build(
    handler: Handler | None = None,
    chosen: Settings | None = None,
    health: ProviderHealth | None = None,
    metrics: Metrics | None = None,
    available: Any = lambda provider, model: True,
    timeouts: Timeouts | None = None,
    refresh: Refresh = no_news,
    quality: Quality | None = None,
    sums: Sums | None = None,
    price: Price = lambda *_: None,
    is_late: Callable[[], bool] = lambda: False,
) -> Server:
    """The server as the composition root would make it."""
    used = chosen or settings()
    catalogue = Catalogue.load().with_providers(used.providers)
    resolver = Resolver(catalogue, used.providers, used.limits, routes=used.routes)
    texts = EmbedResolver(catalogue, resolver, (), used.providers, used.limits)
    meter = metrics or Metrics(lambda provider, model: True)
    clock = asyncio.get_running_loop().time
    well = health or Healthy("claude", "mock")
    server = used.server
    admit = Admit(
        server.max_in_flight, server.max_in_flight_per_caller, server.queue_length, server.queue_seconds, is_late
    )
    interceptors = (
        Correlate(),
        Measure(meter, clock),
        TranslateErrors(meter),
        Authenticate(used),
        RateLimit(Limiter(time.monotonic), used.tiers),
        admit,
    )
    services = (
        GenerationService(handler or saying(*HELLO), resolver.resolve, used.limits, timeouts or Timeouts(), clock),
        ModelService(
            catalogue,
            lambda name, caller: resolver.model(name, caller).model,
            used.providers,
            available,
            refresh,
            Counting(Count((), {}, lambda provider, model: False, clock), resolver.resolve, used.limits, 10.0, clock),
            lambda: date(2026, 11, 22),
            resolver.routes,
        ),
        EmbeddingService(Embed((), (), {}, catalogue, lambda *_: None), texts.resolve, 10.0, 100, clock),
        HealthService(
            well,
            admit.closed,
            Assessing(well, quality or Quality(clock), price),
            Summing(well, sums or Sums(clock, time.time, lambda provider, model: True), lambda: admit.in_flight - 1),
        ),
    )
    return Server(used, interceptors, admit, services, parting_seconds=0.05)


@dataclass
class World:
    """A server that runs, and a client of it."""

    server: Server
    channel: grpc.aio.Channel

    @property
    def generation(self) -> Any:
        """GenerationService."""
        return GenerationServiceStub(self.channel)

    @property
    def models(self) -> Any:
        """ModelService."""
        return ModelServiceStub(self.channel)

    @property
    def health(self) -> Any:
        """HealthService."""
        return HealthServiceStub(self.channel)

    def raw(self, method: str) -> Any:
        """A unary method that takes and gives bytes."""
        return self.channel.unary_unary(method)


@asynccontextmanager
async def serving(server: Server, *options: tuple[str, Any]) -> AsyncIterator[World]:
    """Start the server, and drain it afterwards."""
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            yield World(server, channel)
        await server.drain()
    finally:
        await server.stop()
