"""Composition root: construct every component of one server, and list the layers of a call in order."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from .catalog.catalog import Catalog
from .catalog.cost import PriceList
from .catalog.discovery import ModelDiscovery
from .config.errors import StartupError
from .config.safety_filters import SafetyFilterSettings
from .config.settings import Settings
from .core.embedding import Embedder
from .core.errors import GatewayError
from .core.handler import CallHandler, Layer, ObservingLayer, Provider, compose
from .core.request import Attempt, Call
from .extensions.registry import ExtensionSet, FeatureManager
from .extensions.runner import ExtensionRunner
from .operations.compact_natively import CompactNatively
from .operations.conversations import Conversations
from .operations.count_tokens import CountTokens
from .operations.embed import CreateEmbeddings
from .pipeline.accounting import Accounting
from .pipeline.artifacts import ExtractArtifacts
from .pipeline.attachments import FetchAttachments, Fetcher
from .pipeline.circuit_breaker import CircuitBreakerLayer
from .pipeline.conversation import KeepConversation
from .pipeline.dispatch import Dispatch
from .pipeline.extensions import RunExtensions
from .pipeline.hedging import Hedging
from .pipeline.idempotency import Idempotency
from .pipeline.quota import CallerQuota, ProviderQuota
from .pipeline.response_cache import ResponseCache
from .pipeline.retry_and_fallback import RetryAndFallback
from .pipeline.shorten_prompt import ShortenPrompt
from .pipeline.stream_recovery import StreamRecovery
from .pipeline.structured_output import EnforceOutputFormat
from .pipeline.timeouts import EnforceTimeouts
from .providers.factory import ProviderSet
from .providers.plugins.registry import ProviderRegistry
from .routing.embedding_resolver import EmbeddingResolver
from .routing.load_balancing import LoadBalancer
from .routing.resolver import Resolver
from .rpc.caller_directory import CallerDirectory
from .rpc.interceptor_chain import Interceptor
from .rpc.interceptors.auth import Authenticator
from .rpc.interceptors.errors import ErrorTranslator
from .rpc.interceptors.metrics import RpcMetrics
from .rpc.interceptors.rate_limit import RateLimit
from .rpc.interceptors.request_id import RequestId
from .rpc.server import GatewayServer, Replacement, Service
from .rpc.services.conversations import ConversationService
from .rpc.services.count_tokens import CountTokensMethod
from .rpc.services.embeddings import EmbeddingService
from .rpc.services.generation import GenerationService
from .rpc.services.health import HealthService
from .rpc.services.metrics import MetricsService
from .rpc.services.models import ModelService
from .rpc.services.quality import QualityService
from .state import SharedState
from .storage.cache_key import CacheKeys, context_digest
from .telemetry.logger import get_logger

if TYPE_CHECKING:
    from .pipeline.safety_filters import FilterContent

HEDGING_QUANTILE = 0.95
"""Quantile of the time to first token after which a hedged request is sent."""


CallLayers = tuple[Layer[Call] | ObservingLayer[Call], ...]


@dataclass(frozen=True, slots=True)
class PreparedReload:
    """The parts of a new configuration, checked and not yet in use."""

    components: Components
    replacement: Replacement


class Components:
    """Everything that is built from one configuration, over the state that outlives it.

    Safe to construct in any thread. `previous` are the components whose unchanged providers are used again. Raises
    StartupError for a route with an unknown target, and SettingsError for a plug-in or an extension that cannot be
    loaded.
    """

    def __init__(
        self,
        settings: Settings,
        state: SharedState,
        registry: ProviderRegistry,
        features: FeatureManager,
        previous: Components | None = None,
    ) -> None:
        self.settings = settings
        self.base_catalog: Catalog = Catalog.load() if previous is None else previous.base_catalog
        self.catalog = self.base_catalog.with_providers(settings.providers).with_overrides(settings.models)
        previous_set = None if previous is None else previous.provider_set
        self.provider_set: ProviderSet = ProviderSet(settings, state.find_model, registry, previous_set)
        self.prices = PriceList(self.catalog, lambda: datetime.now(UTC))
        self.model_discovery = ModelDiscovery(
            self.provider_set.model_listers(), self.catalog, state.health.record_probe, state.clock, get_logger()
        )
        self.extensions: ExtensionSet = ExtensionSet(
            settings.extensions, features, state.metrics.extensions, None if previous is None else previous.extensions
        )
        self.resolver = _resolver(self, state)
        self.pipeline = Pipeline(self, state)
        self.interceptors = self._interceptors(state)
        self.services = _services(self, state)

    def _interceptors(self, state: SharedState) -> tuple[Interceptor, ...]:
        settings, metrics, admission = self.settings, state.metrics, state.admission
        count_rejected = state.telemetry.count_rejected
        callers = CallerDirectory(settings, time.time, state.unknown_callers)
        interceptors = (
            RequestId(),  # first, so that every response and log line has the id
            RpcMetrics(metrics, state.clock),  # outside the translation, to see the status code that was sent
            ErrorTranslator(metrics, count_rejected, state.rejection_pacer),  # around everything that may reject
            state.loop_guard,  # before any work for a call that this server made itself
            Authenticator(settings, callers, state.auth_backoff),  # before any work for an unknown caller
            RateLimit(state.rate_limiter, settings.tiers),  # needs the caller; a rejected call takes no permit
            admission,  # last: holds a permit only while the handler runs
        )
        return interceptors


class Pipeline:
    """The layers of a call and their order, and the operations that reuse some of the layers.

    The path of a call: interceptors (`App`) → service → resolver → call layers → retry loop → attempt
    layers → provider.
    """

    def __init__(self, components: Components, state: SharedState) -> None:
        self._components, self._state = components, state
        settings, clock, metrics, budgets = components.settings, state.clock, state.metrics, state.retry_budgets
        limits, fetches = settings.limits, settings.server.fetch_attachments
        subscribers = (metrics, state.usage_stats, state.provider_stats, state.model_stats)
        self.telemetry = state.telemetry
        self.idempotency = Idempotency(state.storage.idempotency)
        self.conversation = KeepConversation(
            state.storage.conversations, settings.conversations.lease_seconds, time.time, state.unfinished_turns
        )
        self.response_cache = _response_cache(settings, state)
        self.caller_quota = CallerQuota(settings.tiers, state.rate_limiter)
        self.artifacts = ExtractArtifacts()
        self.safety_filters = _safety_filters(settings, state)
        self.operation_layers: CallLayers = (self.caller_quota, *self.safety_filters)
        self.stream_recovery = StreamRecovery(settings.retry, budgets, metrics, clock)
        self.retry = RetryAndFallback(
            settings.retry, settings.circuit_breaker, budgets, components.provider_set.key_pools, metrics, clock,
            asyncio.sleep, random.random, _hedging(settings, state),
        )  # fmt: skip
        self.provider_quota = ProviderQuota(self.caller_quota)
        self.shorten_prompt = ShortenPrompt(
            components.catalog.find, state.validation_pool.run, state.validation_turns.pause
        )
        fetcher: Fetcher | None = state.attachment_fetcher if fetches else None
        if fetcher is not None and self.safety_filters:
            fetcher = self.safety_filters[0].filtering(fetcher)
        self.attachments = FetchAttachments(
            fetcher, components.catalog.find, limits.max_attachment_bytes, limits.max_message_bytes
        )
        self.output_format = EnforceOutputFormat(
            clock, state.validation_pool.run, state.model_stats.record_validation, state.validation_turns.pause
        )
        runners, resolver = components.extensions.runners, components.resolver
        self.extensions = RunExtensions(
            runners, resolver.resolve_changed, self.output_format.validated, limits.max_message_bytes
        )
        self.bulkhead = state.bulkhead
        self.circuit_breaker = CircuitBreakerLayer(state.breakers)
        self.accounting = Accounting(components.prices, clock, subscribers)
        self.timeouts = EnforceTimeouts()

    @property
    def call_layers(self) -> CallLayers:
        """Layers that run once per call, outermost first."""
        extensions = (self.extensions,) if self._components.extensions.runners else ()
        return (
            self.telemetry,  # first, so that rejected, replayed and failed calls are counted too
            self.idempotency,  # before anything is charged: a replay is free
            self.conversation,  # inside idempotency: a replay adds no turn, and only what is added may be replayed
            *extensions,  # inside conversation: they see its history, and their changes to it are not stored
            *self.response_cache,  # inside the conversation: a hit adds a turn; outside the quota: it costs nothing
            self.caller_quota,  # before any work; settles with the usage of all attempts
            self.artifacts,  # outside retries: artifacts come only from the response that the caller receives
            *self.safety_filters,  # inside artifacts, which come from filtered text; outside retries: once per call
            self.stream_recovery,  # restarts a stream that is interrupted after its first content
        )

    @property
    def attempt_layers(self) -> tuple[Layer[Attempt[Any]] | ObservingLayer[Attempt[Any]], ...]:
        """Layers that run for each attempt that the retry loop makes, outermost first."""
        return (
            self.provider_quota,  # first: an attempt beyond the quota costs nothing
            self.shorten_prompt,  # models differ in how much history they accept
            self.attachments,  # models differ in what they fetch themselves; a repair reuses the files
            self.output_format,  # the way to request JSON depends on the model
            self.bulkhead,  # a full provider is not a failure
            self.circuit_breaker,  # an open breaker rejects all attempts
            self.accounting,  # inside the breaker: records only what was sent
            self.timeouts,  # next to the provider: measures its silence, not ours
        )

    def handler(self) -> CallHandler:
        """Return the handler of generation calls."""
        attempts = compose(self.attempt_layers, Dispatch(self._components.provider_set.providers))
        return compose(self.call_layers, self.retry.over(attempts))

    def create_embeddings(self, embedders: Mapping[str, Embedder]) -> CreateEmbeddings:
        """Return the embedding operation: the layers that apply to a unary call, once per call or once per attempt."""
        attempt_layers = (self.provider_quota, self.bulkhead, self.circuit_breaker, self.accounting)
        return CreateEmbeddings(
            partial(compose, (self.telemetry,)), self._state.storage.idempotency,
            partial(compose, self.operation_layers),
            lambda embed: self.retry.over(compose(attempt_layers, embed)),
            embedders, self._components.catalog, self._components.prices,
        )  # fmt: skip

    def compact_natively(self) -> CompactNatively:
        """Return the compaction by providers: a billed request of its own, without the breaker of generations."""
        layers = (self.provider_quota, self.attachments, self.bulkhead, self.accounting)
        return CompactNatively(
            lambda compact: compose(
                (self.telemetry, *self.operation_layers), self.retry.over(compose(layers, compact))
            ),
            self._components.provider_set.compactors(),
        )

    def count_tokens(self) -> CountTokens:
        """Return the token counting operation, which is free and so has no breaker and no accounting."""
        counters = self._components.provider_set.token_counters()
        attempt_layers = (self.provider_quota, self.attachments)
        return CountTokens(
            lambda count: compose(self.operation_layers, self.retry.over(compose(attempt_layers, count))),
            counters, self._state.breakers.rejects_calls, self._state.clock,
        )  # fmt: skip


def _response_cache(settings: Settings, state: SharedState) -> tuple[ResponseCache, ...]:
    """Return the layer, or nothing if responses are not kept."""
    store = state.storage.responses.get(settings.response_cache.store)
    if store is None:
        return ()
    # Servers that share a database delete conversations of each other, but see only what is in the database.
    keeps_conversations = settings.response_cache.store == "storage" or not settings.storage.is_shared
    return (
        ResponseCache(
            store, CacheKeys(context_digest(settings.providers, settings.safety_filters)),
            state.metrics.response_cache, state.coalescer, time.time, state.clock,
            keeps_conversations=keeps_conversations,
        ),
    )  # fmt: skip


def _safety_filters(settings: Settings, state: SharedState) -> tuple[FilterContent, ...]:
    """Return the layer that filters, or none if nothing is filtered. Raises StartupError."""
    if settings.safety_filters == SafetyFilterSettings():
        return ()
    from .pipeline.safety_filters import safety_filter_layers  # its libraries take a tenth of a second to import

    return safety_filter_layers(
        settings.safety_filters, state.validation_pool.run, state.validation_turns.pause,
        state.metrics.count_safety_filter,
    )  # fmt: skip


def _hedging(settings: Settings, state: SharedState) -> Hedging | None:
    hedging, model_stats = settings.hedging, state.model_stats
    if not hedging.enabled:
        return None

    def slow_first_token(provider: str, model: str) -> float | None:
        return model_stats.time_to_first_token(provider, model, HEDGING_QUANTILE, hedging.min_samples)

    return Hedging(hedging, slow_first_token, state.metrics, state.clock)


def _services(components: Components, state: SharedState) -> tuple[Service, ...]:
    settings, catalog, pipeline, clock = components.settings, components.catalog, components.pipeline, state.clock
    providers, embedders = components.provider_set.providers, components.provider_set.embedders()
    limits, unary_timeout = settings.limits, settings.server.unary_timeout_seconds
    resolver, handler = components.resolver, pipeline.handler()
    embedding_resolver = EmbeddingResolver(catalog, resolver, embedders, settings.providers, limits)
    create_embeddings = pipeline.create_embeddings(embedders)
    conversations = Conversations(state.storage, state.unfinished_turns, settings, time.time)
    count_tokens = CountTokensMethod(pipeline.count_tokens(), resolver, limits, unary_timeout, clock)
    return (
        GenerationService(handler, resolver, conversations, settings, clock),
        ConversationService(conversations, handler, pipeline.compact_natively(), resolver, settings, clock),
        ModelService(
            catalog, resolver, providers, state.health.is_available, components.model_discovery, count_tokens,
            lambda: datetime.now(UTC).date(),
        ),
        EmbeddingService(create_embeddings, embedding_resolver, unary_timeout, limits.max_embedding_inputs, clock),
        HealthService(state.health, state.admission.closed, settings.server.watch_timeout_seconds),
        QualityService(state.health, state.model_stats, components.prices),
        MetricsService(state.health, state.usage_stats, state.usage_stats.in_flight),
    )  # fmt: skip


def _resolver(components: Components, state: SharedState) -> Resolver:
    stats, breakers = state.model_stats, state.breakers
    load_balancer = LoadBalancer(
        stats.time_to_first_token, stats.in_flight, components.prices.rates, breakers.rejects_calls, random.random
    )
    resolver = Resolver(components.catalog, components.settings, load_balancer)
    try:
        resolver.validate_routes()
    except GatewayError as error:
        raise StartupError(error.message) from error
    return resolver


class App:
    """One server and the components of its current configuration. Nothing listens before `server.start()`.

    Raises StartupError for a route with an unknown target, and SettingsError for a plug-in or an extension that cannot
    be loaded. `registry` may hold plug-ins, `features` extensions.
    """

    def __init__(
        self, settings: Settings, registry: ProviderRegistry | None = None, features: FeatureManager | None = None
    ) -> None:
        self._registry, self._features = registry or ProviderRegistry(), features or FeatureManager()
        self.started_settings = settings
        self.state = SharedState(settings, time.monotonic)
        components = self.components = Components(settings, self.state, self._registry, self._features)
        self.state.activate(settings, components.catalog, components.provider_set)
        self.server = GatewayServer(settings, components.interceptors, self.state.admission, components.services)
        self.retired: set[Provider | ExtensionRunner] = set()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def providers(self) -> dict[str, Provider]:
        """The providers of the current configuration."""
        return self.components.provider_set.providers

    def prepare(self, settings: Settings) -> PreparedReload:
        """Build and check everything for new settings without using it. Safe to call from any thread.

        Raises the errors of the constructor, and StartupError if a certificate cannot be used.
        """
        components = Components(settings, self.state, self._registry, self._features, self.components)
        return PreparedReload(components, self.server.prepare(settings, components.interceptors, components.services))

    def activate(self, prepared: PreparedReload) -> None:
        """Use the prepared components for every call from now on. Calls in flight end with those they began with."""
        components, previous = prepared.components, self.components
        calls = self.state.admission.tasks()
        providers = self.state.activate(components.settings, components.catalog, components.provider_set)
        unused: list[Provider | ExtensionRunner] = [*providers, *components.extensions.unused_of(previous.extensions)]
        self.server.replace(prepared.replacement)
        self.components = components
        self.retired.update(unused)
        self._in_background(self._close_after(calls, unused))
        self._in_background(self.list_plugin_models(previous.provider_set.providers))

    async def list_plugin_models(self, listed: Mapping[str, Provider]) -> None:
        """Fetch the models of the plug-ins that are not in `listed`. Failures are only logged and recorded."""
        provider_set, refresh = self.components.provider_set, self.components.model_discovery.try_refresh
        names = [name for name in provider_set.plugin_names if provider_set.providers[name] is not listed.get(name)]
        await asyncio.gather(*map(refresh, names))

    async def aclose(self) -> None:
        """Close all providers and extensions."""
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for one in (*self.components.extensions.runners, *self.providers.values(), *self.retired):
            await one.aclose()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _close_after(
        self, calls: Collection[asyncio.Task[Any]], unused: Sequence[Provider | ExtensionRunner]
    ) -> None:
        """Close replaced providers and extensions once the calls that may use them have ended."""
        if unused and calls:
            await asyncio.wait(calls)
        for one in unused:
            await one.aclose()
            self.retired.discard(one)
