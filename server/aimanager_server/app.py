"""Composition root: construct every component of one server, and list the layers of a call in order."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from .catalog.catalog import Catalog
from .catalog.cost import PriceList
from .catalog.discovery import ModelDiscovery
from .config.errors import StartupError
from .config.settings import Settings
from .core.embedding import Embedder
from .core.errors import GatewayError
from .core.handler import CallHandler, Clock, Layer, ObservingLayer, compose
from .core.request import Attempt, Call
from .operations.count_tokens import CountTokens
from .operations.embed import CreateEmbeddings
from .pipeline.accounting import Accounting
from .pipeline.artifacts import ExtractArtifacts
from .pipeline.attachments import FetchAttachments
from .pipeline.bulkhead import ProviderConcurrency
from .pipeline.circuit_breaker import CircuitBreakerLayer
from .pipeline.dispatch import Dispatch
from .pipeline.hedging import Hedging
from .pipeline.idempotency import Idempotency
from .pipeline.quota import CallerQuota, ProviderQuota
from .pipeline.retry_and_fallback import RetryAndFallback
from .pipeline.stream_recovery import StreamRecovery
from .pipeline.structured_output import EnforceOutputFormat
from .pipeline.telemetry import Telemetry
from .pipeline.timeouts import EnforceTimeouts
from .providers.attachments.fetcher import HttpsFetcher
from .providers.attachments.host_lookup import HostLookup
from .providers.factory import ProviderSet
from .providers.plugins.registry import ProviderRegistry
from .resilience.auth_backoff import AuthBackoff
from .resilience.breaker_registry import BreakerRegistry
from .resilience.idempotency_store import IdempotencyStore
from .resilience.load_shedding import EventLoopLagMonitor
from .resilience.prober import ProbeKind, Prober
from .resilience.provider_health import ProviderHealth
from .resilience.rate_limiter import RateLimiter
from .resilience.retry_budget import RetryBudgets
from .resilience.worker_pool import WorkerPool
from .routing.embedding_resolver import EmbeddingResolver
from .routing.load_balancing import LoadBalancer
from .routing.resolver import Resolver
from .rpc.caller_directory import CallerDirectory
from .rpc.interceptors.admission import Admission
from .rpc.interceptors.auth import Authenticator
from .rpc.interceptors.errors import ErrorTranslator
from .rpc.interceptors.metrics import RpcMetrics
from .rpc.interceptors.rate_limit import RateLimit
from .rpc.interceptors.request_id import RequestId
from .rpc.server import GatewayServer, Service
from .rpc.services.count_tokens import CountTokensMethod
from .rpc.services.embeddings import EmbeddingService
from .rpc.services.generation import GenerationService
from .rpc.services.health import HealthService
from .rpc.services.metrics import MetricsService
from .rpc.services.models import ModelService
from .rpc.services.quality import QualityService
from .telemetry.metrics import Metrics
from .telemetry.metrics_server import MetricsServer, check_metrics_address
from .telemetry.model_stats import ModelStats
from .telemetry.provider_stats import ProviderStats
from .telemetry.usage_stats import UsageStats

PLUGIN_LISTING_SECONDS = 1.0
"""How long startup waits for the model lists of plug-ins; later ones arrive while the server already serves."""

VALIDATION_THREADS, VALIDATION_THREADS_PER_CALLER = 4, 1
"""Threads that validate answers. They share one interpreter, so more of them would not validate more."""

HEDGING_QUANTILE = 0.95
"""Quantile of the time to first token after which a hedged request is sent."""


class SharedComponents:
    """Catalog, providers, statistics and resilience state, shared by layers, operations and services."""

    def __init__(self, settings: Settings, registry: ProviderRegistry, clock: Clock) -> None:
        self.catalog = Catalog.load().with_providers(settings.providers).with_overrides(settings.models)
        known_models = frozenset((model.provider, model.id) for model in self.catalog.models())
        self.metrics = Metrics(lambda provider, model: (provider, model) in known_models)
        self.provider_set = ProviderSet(settings, self.catalog, registry)
        self.providers = self.provider_set.providers
        self.prices = PriceList(self.catalog, lambda: datetime.now(UTC))
        self.usage_stats = UsageStats(clock, time.time, self.metrics.is_known_model, settings.max_callers)
        self.provider_stats = ProviderStats(clock, time.time)
        self.model_stats = ModelStats(clock)
        self.rate_limiter = RateLimiter(clock)
        self.retry_budgets = RetryBudgets(settings.retry, clock)
        self.breakers = BreakerRegistry(settings.circuit_breaker, settings.retry, clock)
        self.health = ProviderHealth(
            self.providers, self.breakers, self.provider_stats, clock, time.time, settings.missing_api_keys()
        )
        self.lag_monitor = EventLoopLagMonitor(clock, settings.server.max_event_loop_lag_seconds)
        self._export_gauges()

    def _export_gauges(self) -> None:
        key_pools = self.provider_set.key_pools
        self.metrics.export_breaker_states(self.providers, self.health.circuit_state)
        self.metrics.export_quarantined_keys(key_pools, lambda provider: key_pools[provider].quarantined_count)
        self.metrics.export_event_loop_lag(self.lag_monitor.lag_seconds)


class Pipeline:
    """The layers of a call and their order, and the operations that reuse some of the layers.

    The path of a call: interceptors (`App`) → service → resolver → call layers → retry loop → attempt
    layers → provider.
    """

    def __init__(self, settings: Settings, shared: SharedComponents, clock: Clock) -> None:
        self._shared, self._clock = shared, clock
        metrics, budgets, limits = shared.metrics, shared.retry_budgets, settings.limits
        self._host_lookup = HostLookup()
        fetcher = HttpsFetcher(self._host_lookup) if settings.server.fetch_attachments else None
        subscribers = (metrics, shared.usage_stats, shared.provider_stats, shared.model_stats)
        self.telemetry = Telemetry(metrics, shared.usage_stats, clock)
        self._idempotency_store = IdempotencyStore(settings.idempotency, clock)
        self.idempotency = Idempotency(self._idempotency_store)
        self.caller_quota = CallerQuota(settings.tiers, shared.rate_limiter)
        self.artifacts = ExtractArtifacts()
        self.stream_recovery = StreamRecovery(settings.retry, budgets, metrics, clock)
        self.retry = RetryAndFallback(
            settings.retry, settings.circuit_breaker, budgets, shared.provider_set.key_pools, metrics, clock,
            asyncio.sleep, random.random, _hedging(settings, shared, clock),
        )  # fmt: skip
        self.provider_quota = ProviderQuota(self.caller_quota)
        self.attachments = FetchAttachments(
            fetcher, shared.catalog.find, limits.max_attachment_bytes, limits.max_message_bytes
        )
        self._validation_pool = WorkerPool("validation", VALIDATION_THREADS, VALIDATION_THREADS_PER_CALLER)
        self.output_format = EnforceOutputFormat(clock, self._validation_pool.run, shared.model_stats.record_validation)
        self.bulkhead = ProviderConcurrency(settings.providers, settings.server, clock)
        self.circuit_breaker = CircuitBreakerLayer(shared.breakers)
        self.accounting = Accounting(shared.prices, clock, subscribers)
        self.timeouts = EnforceTimeouts()

    @property
    def call_layers(self) -> tuple[Layer[Call] | ObservingLayer[Call], ...]:
        """Layers that run once per call, outermost first."""
        return (
            self.telemetry,  # first, so that rejected, replayed and failed calls are counted too
            self.idempotency,  # before anything is charged: a replay is free
            self.caller_quota,  # before any work; settles with the usage of all attempts
            self.artifacts,  # outside retries: artifacts come only from the response that the caller receives
            self.stream_recovery,  # restarts a stream that is interrupted after its first content
        )

    @property
    def attempt_layers(self) -> tuple[Layer[Attempt[Any]] | ObservingLayer[Attempt[Any]], ...]:
        """Layers that run for each attempt that the retry loop makes, outermost first."""
        return (
            self.provider_quota,  # first: an attempt beyond the quota costs nothing
            self.attachments,  # models differ in what they fetch themselves; a repair reuses the files
            self.output_format,  # the way to request JSON depends on the model
            self.bulkhead,  # a full provider is not a failure
            self.circuit_breaker,  # an open breaker rejects all attempts
            self.accounting,  # inside the breaker: records only what was sent
            self.timeouts,  # next to the provider: measures its silence, not ours
        )

    def close(self) -> None:
        """End the threads of this server's worker pools."""
        self._host_lookup.close()
        self._validation_pool.close()

    def handler(self) -> CallHandler:
        """Return the handler of generation calls."""
        attempts = compose(self.attempt_layers, Dispatch(self._shared.providers))
        return compose(self.call_layers, self.retry.over(attempts))

    def create_embeddings(self, embedders: Mapping[str, Embedder]) -> CreateEmbeddings:
        """Return the embedding operation: the layers that apply to a unary call, once per call or once per attempt."""
        attempt_layers = (self.provider_quota, self.bulkhead, self.circuit_breaker, self.accounting)
        return CreateEmbeddings(
            partial(compose, (self.telemetry,)), self._idempotency_store, partial(compose, (self.caller_quota,)),
            lambda embed: self.retry.over(compose(attempt_layers, embed)),
            embedders, self._shared.catalog, self._shared.prices,
        )  # fmt: skip

    def count_tokens(self) -> CountTokens:
        """Return the token counting operation, which is free and so has no breaker and no accounting."""
        counters = self._shared.provider_set.token_counters()
        attempt_layers = (self.provider_quota, self.attachments)
        return CountTokens(
            lambda count: compose((self.caller_quota,), self.retry.over(compose(attempt_layers, count))),
            counters, self._shared.breakers.rejects_calls, self._clock,
        )  # fmt: skip


def _hedging(settings: Settings, shared: SharedComponents, clock: Clock) -> Hedging | None:
    hedging, model_stats = settings.hedging, shared.model_stats
    if not hedging.enabled:
        return None

    def slow_first_token(provider: str, model: str) -> float | None:
        return model_stats.time_to_first_token(provider, model, HEDGING_QUANTILE, hedging.min_samples)

    return Hedging(hedging, slow_first_token, shared.metrics, clock)


class App:
    """All components of one server. Construct it inside a running event loop; nothing listens before `server.start()`.

    Raises StartupError for a route with an unknown target, and SettingsError for a plug-in that cannot be loaded.
    """

    def __init__(self, settings: Settings, registry: ProviderRegistry | None = None) -> None:
        clock = time.monotonic
        shared = SharedComponents(settings, registry or ProviderRegistry(), clock)
        pipeline = Pipeline(settings, shared, clock)
        admission = Admission(settings.server, shared.lag_monitor.is_overloaded)
        interceptors = (
            RequestId(),  # first, so that every response and log line has the id
            RpcMetrics(shared.metrics, clock),  # outside the translation, to see the status code that was sent
            ErrorTranslator(shared.metrics),  # around everything that may reject
            # before any work for an unknown caller
            Authenticator(settings, CallerDirectory(settings, time.time), AuthBackoff(clock)),
            RateLimit(shared.rate_limiter, settings.tiers),  # needs the caller; a rejected call takes no permit
            admission,  # last: holds a permit only while the handler runs
        )
        self.providers, self.plugin_names = shared.providers, shared.provider_set.plugin_names
        self.metrics, self.lag_monitor = shared.metrics, shared.lag_monitor
        self.attempt_layers = pipeline.attempt_layers
        self.close_pools = pipeline.close
        self.model_discovery = ModelDiscovery(
            shared.provider_set.model_listers(), shared.catalog, shared.health.record_probe, clock
        )
        self.prober = Prober(
            shared.providers, _probe_kinds(settings), shared.breakers, shared.catalog.find, shared.health.record_probe,
            shared.metrics.count_probe, asyncio.sleep, random.random,
        )  # fmt: skip
        services = _services(settings, shared, pipeline, self.model_discovery, admission, clock)
        self.server = GatewayServer(settings, interceptors, admission, services)


def _services(
    settings: Settings,
    shared: SharedComponents,
    pipeline: Pipeline,
    model_discovery: ModelDiscovery,
    admission: Admission,
    clock: Clock,
) -> tuple[Service, ...]:
    limits, unary_timeout = settings.limits, settings.server.unary_timeout_seconds
    resolver, embedders = _resolver(settings, shared), shared.provider_set.embedders()
    embedding_resolver = EmbeddingResolver(shared.catalog, resolver, embedders, settings.providers, limits)
    create_embeddings = pipeline.create_embeddings(embedders)
    count_tokens = CountTokensMethod(pipeline.count_tokens(), resolver, limits, unary_timeout, clock)
    return (
        GenerationService(pipeline.handler(), resolver, settings, clock),
        ModelService(
            shared.catalog, resolver, shared.providers, shared.health.is_available, model_discovery, count_tokens,
            lambda: datetime.now(UTC).date(),
        ),
        EmbeddingService(
            create_embeddings, embedding_resolver, unary_timeout, limits.max_embedding_inputs, clock
        ),
        HealthService(shared.health, admission.closed, settings.server.watch_timeout_seconds),
        QualityService(shared.health, shared.model_stats, shared.prices),
        MetricsService(shared.health, shared.usage_stats, shared.usage_stats.in_flight),
    )  # fmt: skip


def _resolver(settings: Settings, shared: SharedComponents) -> Resolver:
    stats, breakers = shared.model_stats, shared.breakers
    load_balancer = LoadBalancer(
        stats.time_to_first_token, stats.in_flight, shared.prices.rates, breakers.rejects_calls, random.random
    )
    resolver = Resolver(shared.catalog, settings, load_balancer)
    try:
        resolver.validate_routes()
    except GatewayError as error:
        raise StartupError(error.message) from error
    return resolver


def _probe_kinds(settings: Settings) -> dict[str, ProbeKind]:
    """Return how each provider is probed while its circuit breaker is open; a provider without its key is not."""
    return {
        name: provider.probe
        for name, provider in settings.providers.items()
        if provider.enabled and not provider.lacks_api_key and provider.probe != "off"
    }


@asynccontextmanager
async def running_server(
    settings: Settings, registry: ProviderRegistry | None = None, dropped_log_lines: Callable[[], int] | None = None
) -> AsyncIterator[GatewayServer]:
    """Run a server until the block ends; its `port` is the bound one. `registry` may hold plug-ins already.

    `dropped_log_lines` returns how many lines the log has lost, for the metrics.

    Raises StartupError if an address, certificate or route cannot be used, SettingsError for an unusable plug-in.
    """
    app = App(settings, registry)
    if dropped_log_lines is not None:
        app.metrics.export_dropped_log_lines(dropped_log_lines)
    async with AsyncExitStack() as stack:
        stack.callback(app.close_pools)
        for provider in app.providers.values():
            stack.push_async_callback(provider.aclose)
        if settings.server.metrics_listen is not None:
            await stack.enter_async_context(MetricsServer(settings.server.metrics_listen, app.metrics.registry))
        app.lag_monitor.start()
        stack.callback(app.lag_monitor.stop)
        stack.push_async_callback(app.prober.aclose)
        listing = asyncio.gather(*map(app.model_discovery.try_refresh, app.plugin_names))
        stack.callback(listing.cancel)
        if app.plugin_names:
            await asyncio.wait({listing}, timeout=PLUGIN_LISTING_SECONDS)
        await app.server.start()
        stack.push_async_callback(app.server.stop, 1.0)
        yield app.server


async def check_startup(settings: Settings) -> None:
    """Raise what would keep `running_server` from starting, without listening or connecting.

    An address that is in use passes: the server that uses it may be the one to replace.
    """
    app = App(settings)
    try:
        if settings.server.metrics_listen is not None:
            check_metrics_address(settings.server.metrics_listen)
        app.server.check()
    finally:
        for provider in app.providers.values():
            await provider.aclose()
