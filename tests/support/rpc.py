"""A real gRPC server on a free port around a handler of a few lines, and clients of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import grpc
import grpc.aio

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager.v1.metrics_pb2_grpc import MetricsServiceStub
from aimanager.v1.model_pb2_grpc import ModelServiceStub
from aimanager.v1.quality_pb2_grpc import QualityServiceStub
from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.settings import Settings
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.content import Text
from aimanager_server.core.handler import AttemptHandler, CallHandler, Clock, compose
from aimanager_server.core.request import Attempt, Call
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, ResponseMetadata, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.operations.compact_natively import CompactNatively
from aimanager_server.operations.conversations import Conversations
from aimanager_server.operations.count_tokens import CountTokens
from aimanager_server.operations.embed import CreateEmbeddings
from aimanager_server.pipeline.telemetry import Telemetry
from aimanager_server.resilience.auth_backoff import AuthBackoff
from aimanager_server.resilience.provider_health import ProviderHealth
from aimanager_server.resilience.rate_limiter import RateLimiter
from aimanager_server.resilience.rejection_pacer import RejectionPacer
from aimanager_server.routing.embedding_resolver import EmbeddingResolver
from aimanager_server.routing.resolver import Resolver
from aimanager_server.rpc.caller_directory import CallerDirectory
from aimanager_server.rpc.interceptors.admission import Admission
from aimanager_server.rpc.interceptors.auth import Authenticator
from aimanager_server.rpc.interceptors.errors import ErrorTranslator
from aimanager_server.rpc.interceptors.metrics import RpcMetrics
from aimanager_server.rpc.interceptors.rate_limit import RateLimit
from aimanager_server.rpc.interceptors.request_id import RequestId
from aimanager_server.rpc.server import GatewayServer
from aimanager_server.rpc.services.conversations import ConversationService
from aimanager_server.rpc.services.count_tokens import CountTokensMethod
from aimanager_server.rpc.services.embeddings import EmbeddingService
from aimanager_server.rpc.services.generation import HEARTBEAT_SECONDS, GenerationService
from aimanager_server.rpc.services.health import HealthService
from aimanager_server.rpc.services.metrics import MetricsService
from aimanager_server.rpc.services.models import IsAvailable, ModelService, Refresh
from aimanager_server.rpc.services.quality import CostOf, QualityService
from aimanager_server.storage.memory_idempotency import MemoryIdempotency
from aimanager_server.storage.opening import open_storage
from aimanager_server.storage.unfinished_turns import UnfinishedTurns
from aimanager_server.telemetry.metrics import Metrics
from aimanager_server.telemetry.model_stats import ModelStats
from aimanager_server.telemetry.usage_stats import UsageStats
from tests.support.resolver import listed_order
from tests.support.rpc_health import FakeProviderHealth
from tests.support.settings import with_mock
from tests.support.tokens import bearer as bearer
from tests.support.tokens import callers as callers

CANARY = "sk-canary-7f3a"
"""A secret that must not appear in logs or responses."""

REQUEST = generation_pb2.GenerateRequest(
    model="mock/mock-large",
    messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")])],
)
STREAM_REQUEST = generation_pb2.StreamGenerateRequest(request=REQUEST)
HELLO_EVENTS: tuple[Event, ...] = (
    TextDelta(0, "Hel"),
    TextDelta(0, "lo"),
    PartCompleted(0, Text("Hello")),
    Finished(FinishReason.STOP, "stop", Usage(3, 2, source=UsageSource.REPORTED)),
)


def server_settings(server: dict[str, Any] | None = None, **sections: Any) -> Settings:
    """Settings of a server with the mock provider, on a free loopback port, that drains without delay."""
    defaults = {"listen": "127.0.0.1:0", "drain_delay_seconds": 0.0, "drain_timeout_seconds": 5.0}
    return Settings.model_validate(with_mock({"server": {**defaults, **(server or {})}, **sections}))


def text_of(response: generation_pb2.GenerateResponse) -> str:
    """The text of the first part."""
    return response.message.parts[0].text


async def events_of(call: Any) -> list[generation_pb2.StreamGenerateResponse]:
    """Read a stream to its end."""
    return [event async for event in call]


def event_kinds(events: Sequence[generation_pb2.StreamGenerateResponse]) -> list[str | None]:
    """The kind of each stream message, in order."""
    return [event.WhichOneof("event") for event in events]


def stream_of(
    request: Call | Attempt[Any], events: AsyncIterator[Event], closed: asyncio.Event | None = None
) -> ResponseStream:
    """A response stream of `events` that sets `closed` when it is closed."""

    async def close() -> None:
        if closed is not None:
            closed.set()

    metadata = ResponseMetadata(request.id, request.requested_model, *request.target.key)
    return ResponseStream.from_iterator(metadata, events, close)


def answering(*events: Event) -> CallHandler:
    """A handler that responds with these events."""

    async def handle(call: Call) -> ResponseStream:
        async def iterate() -> AsyncIterator[Event]:
            for event in events:
                yield event

        return stream_of(call, iterate())

    return handle


def raising(error: BaseException, attempts: Sequence[AttemptRecord] = ()) -> CallHandler:
    """A handler that raises an error after these attempts."""

    async def handle(call: Call) -> ResponseStream:
        call.attempts.records.extend(attempts)
        raise error

    return handle


class RecordingHandler:
    """A handler that responds with HELLO_EVENTS and records its calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def __call__(self, call: Call) -> ResponseStream:
        self.calls.append(call)
        return await answering(*HELLO_EVENTS)(call)


class BlockingHandler(RecordingHandler):
    """A handler whose calls set `entered` and then wait for `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, call: Call) -> ResponseStream:
        self.entered.set()
        response = await super().__call__(call)
        await self.release.wait()
        return response


async def no_refresh(provider: str) -> None:
    """A refresh that finds no new models."""


async def no_delay(seconds: float) -> None:
    """A sleep that returns at once."""


def authenticator(
    settings: Settings, backoff: AuthBackoff | None = None, wall_clock: Clock = time.time
) -> Authenticator:
    """An authenticator that, by default, delays no failure."""
    backoff = backoff or AuthBackoff(time.monotonic, no_delay)
    return Authenticator(settings, CallerDirectory(settings, wall_clock), backoff)


def _reject_attempts(handler: AttemptHandler) -> CallHandler:
    raise AssertionError("No provider counts tokens or embeds.")


def build_server(
    handler: CallHandler | None = None,
    settings: Settings | None = None,
    health: ProviderHealth | None = None,
    metrics: Metrics | None = None,
    is_available: IsAvailable = lambda provider, model: True,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    refresh: Refresh = no_refresh,
    model_stats: ModelStats | None = None,
    usage_stats: UsageStats | None = None,
    cost_of: CostOf = lambda *_: None,
    is_overloaded: Callable[[], bool] = lambda: False,
    cancel_grace_seconds: float = 0.05,
    backoff: AuthBackoff | None = None,
    wall_clock: Clock = time.time,
    pacer: RejectionPacer | None = None,
) -> GatewayServer:
    """Construct a server as `app.py` does, with the given parts in place of the real ones."""
    settings = settings or server_settings()
    metrics = metrics or Metrics(lambda provider, model: True)
    health = health or FakeProviderHealth("claude", "mock")
    clock = asyncio.get_running_loop().time
    usage_stats = usage_stats or UsageStats(clock, time.time, lambda provider, model: True)
    telemetry = Telemetry(metrics, usage_stats, clock)
    catalog = Catalog.load().with_providers(settings.providers)
    resolver = Resolver(catalog, settings, listed_order)
    embedding_resolver = EmbeddingResolver(catalog, resolver, (), settings.providers, settings.limits)
    count_tokens = CountTokens(_reject_attempts, {}, lambda provider, model: False, clock)
    no_layers, store = partial(compose, ()), MemoryIdempotency(settings.idempotency, clock)
    create_embeddings = CreateEmbeddings(no_layers, store, no_layers, _reject_attempts, {}, catalog, lambda *_: None)
    admission = Admission(settings.server, is_overloaded)
    interceptors = (
        RequestId(),
        RpcMetrics(metrics, clock),
        ErrorTranslator(metrics, telemetry.count_rejected, pacer or RejectionPacer()),
        authenticator(settings, backoff, wall_clock),
        RateLimit(RateLimiter(time.monotonic), settings.tiers),
        admission,
    )
    storage = open_storage(settings, metrics.response_cache, time.time, clock)
    conversations = Conversations(storage, UnfinishedTurns(), settings, time.time)
    services = (
        GenerationService(
            handler or answering(*HELLO_EVENTS), resolver, conversations, settings, clock, heartbeat_seconds
        ),
        ConversationService(
            conversations,
            handler or answering(*HELLO_EVENTS),
            CompactNatively(_reject_attempts, {}),
            resolver,
            settings,
            clock,
        ),
        ModelService(
            catalog,
            resolver,
            settings.providers,
            is_available,
            refresh,
            CountTokensMethod(count_tokens, resolver, settings.limits, 10.0, clock),
            lambda: date(2026, 11, 22),
        ),
        EmbeddingService(create_embeddings, embedding_resolver, 10.0, 100, clock),
        HealthService(health, admission.closed, settings.server.watch_timeout_seconds),
        QualityService(health, model_stats or ModelStats(clock), cost_of),
        MetricsService(
            health,
            usage_stats,
            lambda caller: admission.in_flight - 1,
        ),
    )
    return GatewayServer(settings, interceptors, admission, services, cancel_grace_seconds, rejection_seconds=0.0)


@dataclass
class RunningServer:
    """A running server and a channel to it."""

    server: GatewayServer
    channel: grpc.aio.Channel

    @property
    def generation(self) -> Any:
        """A stub of GenerationService."""
        return GenerationServiceStub(self.channel)

    @property
    def models(self) -> Any:
        """A stub of ModelService."""
        return ModelServiceStub(self.channel)

    @property
    def health(self) -> Any:
        """A stub of HealthService."""
        return HealthServiceStub(self.channel)

    @property
    def quality(self) -> Any:
        """A stub of QualityService."""
        return QualityServiceStub(self.channel)

    @property
    def metrics(self) -> Any:
        """A stub of MetricsService."""
        return MetricsServiceStub(self.channel)

    def raw(self, method: str) -> Any:
        """A unary method that sends and receives bytes."""
        return self.channel.unary_unary(method)


@asynccontextmanager
async def running(server: GatewayServer, *options: tuple[str, Any]) -> AsyncIterator[RunningServer]:
    """Start the server, and drain it at the end of the block."""
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            yield RunningServer(server, channel)
        await server.drain()
    finally:
        await server.stop()
