"""The state of one server that outlives a reload of its configuration."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from .catalog.catalog import Catalog
from .catalog.model import Model
from .config.callers import UnknownCallers
from .config.providers import ProviderSettings
from .config.settings import Settings
from .core.handler import Clock, Provider
from .core.request import NO_KEY
from .pipeline.bulkhead import ProviderConcurrency
from .pipeline.telemetry import Telemetry
from .providers.attachments.fetcher import HttpsFetcher
from .providers.attachments.host_lookup import HostLookup
from .providers.factory import ProviderSet
from .providers.http.provider import HttpProvider
from .providers.http.transport import HttpTransport
from .resilience.auth_backoff import AuthBackoff
from .resilience.breaker_registry import BreakerRegistry
from .resilience.key_pool import KeyPool
from .resilience.load_shedding import EventLoopLagMonitor
from .resilience.prober import ProbeKind, Prober
from .resilience.provider_health import ProviderHealth
from .resilience.rate_limiter import RateLimiter
from .resilience.rejection_pacer import RejectionPacer
from .resilience.request_coalescing import RequestCoalescer
from .resilience.retry_budget import RetryBudgets
from .resilience.turns import Turns
from .resilience.worker_pool import WorkerPool
from .rpc.interceptors.admission import Admission
from .rpc.interceptors.loop_guard import LoopGuard
from .storage.opening import open_storage
from .storage.unfinished_turns import UnfinishedTurns
from .telemetry.metrics import Metrics
from .telemetry.model_stats import ModelStats
from .telemetry.provider_stats import ProviderStats
from .telemetry.usage_stats import UsageStats

VALIDATION_THREADS, VALIDATION_THREADS_PER_CALLER = 4, 1
"""Threads that validate answers. They take turns, since only one of them can run Python code at a time."""

ENDPOINT_SETTINGS = ("wire", "base_url", "api_version", "ca_file", "use_proxy", "enabled")
"""Settings of a provider that determine which server is called: circuit breakers and listed models belong to it."""


class SharedState:
    """Statistics, quotas, circuit breakers, permits and stored responses, and the settings in use."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.clock = clock
        self.settings = settings
        self.catalog = Catalog(())
        self.providers: Mapping[str, Provider] = {}
        self.unknown_callers = UnknownCallers.ADMINS
        self._key_pools: Mapping[str, KeyPool] = {}
        self._known_models: frozenset[tuple[str, str]] = frozenset()
        self.metrics = Metrics(lambda provider, model: (provider, model) in self._known_models)
        self.usage_stats = UsageStats(clock, time.time, self.metrics.is_known_model, settings.max_callers)
        self.provider_stats = ProviderStats(clock, time.time)
        self.model_stats = ModelStats(clock)
        self.rate_limiter = RateLimiter(clock)
        self.retry_budgets = RetryBudgets(settings.retry, clock)
        self.breakers = BreakerRegistry(settings.circuit_breaker, settings.retry, clock)
        self.health = ProviderHealth(self.breakers, self.provider_stats, clock, time.time)
        self.auth_backoff = AuthBackoff(clock)
        self.rejection_pacer = RejectionPacer()
        self.validation_turns = Turns()
        self.validation_pool = WorkerPool(
            "validation", VALIDATION_THREADS, VALIDATION_THREADS_PER_CALLER, self.validation_turns
        )
        self._host_lookup = HostLookup()
        self.lag_monitor = EventLoopLagMonitor(clock, settings.server.max_event_loop_lag_seconds)
        self.loop_guard = LoopGuard(secrets.token_hex(8))
        self.admission = Admission(settings.server, self.lag_monitor.is_overloaded)
        self.storage = open_storage(settings, self.metrics.response_cache, time.time, clock)
        self.coalescer = RequestCoalescer(self.metrics.response_cache.coalesced.inc)
        self.unfinished_turns = UnfinishedTurns()
        self.telemetry = Telemetry(self.metrics, self.usage_stats, clock)
        self.bulkhead = ProviderConcurrency(settings.providers, settings.server, clock)
        self.prober = Prober(
            self.breakers, self.find_model, self.health.record_probe, self.metrics.count_probe, asyncio.sleep,
            random.random,
        )  # fmt: skip
        self.metrics.export_event_loop_lag(self.lag_monitor.lag_seconds)
        self._export_sizes()

    @cached_property
    def attachment_fetcher(self) -> HttpsFetcher:
        """Downloads attachments."""
        return HttpsFetcher(self._host_lookup)

    def close(self) -> None:
        """End the threads of the worker pools."""
        self._host_lookup.close()
        self.validation_pool.close()

    def find_model(self, provider: str, model: str) -> Model | None:
        """Look up a model in the current catalog."""
        return self.catalog.find(provider, model)

    def activate(self, settings: Settings, catalog: Catalog, provider_set: ProviderSet) -> list[Provider]:
        """Use these settings, models and providers from now on; return the providers that are not used any more.

        Raises nothing and does not wait, so that no call sees one without the others.
        """
        replaced = [name for name, one in self.providers.items() if provider_set.providers.get(name) is not one]
        unused = [self.providers[name] for name in replaced]
        self._replace_catalog(settings, catalog)
        self._forget_failures(settings, provider_set, replaced)
        self._replace_providers(settings, provider_set)
        self._reconfigure(settings)
        self.settings = settings
        return unused

    def _export_sizes(self) -> None:
        """Export the sizes of everything that grows with what callers and providers send."""
        results, conversations, stats = self.storage.idempotency, self.storage.memory, self.model_stats
        responses = self.storage.responses.values()
        entries: dict[str, Callable[[], int]] = {
            "idempotent_responses": lambda: results.entries,
            "cached_responses": lambda: sum(one.entries for one in responses),
            "coalesced_requests": lambda: self.coalescer.entries,
            "unfinished_turns": lambda: self.unfinished_turns.entries,
            "rate_limit_windows": lambda: self.rate_limiter.entries,
            "failed_peers": lambda: self.auth_backoff.entries,
            "paced_rejections": lambda: self.rejection_pacer.waiting,
            "admission_queue": lambda: self.admission.queued,
            "provider_queue": lambda: self.bulkhead.queued,
            "validation_queue": lambda: self.validation_pool.waiting,
            "circuit_breakers": lambda: self.breakers.entries,
            "retry_budgets": lambda: self.retry_budgets.entries,
            "models": lambda: stats.entries,
            "model_samples": lambda: stats.samples,
            "provider_samples": lambda: self.provider_stats.samples,
            "usage_buckets": lambda: self.usage_stats.entries,
            "unlisted_models": lambda: self.catalog.unlisted_entries,
            "health_watches": lambda: self.health.watches,
            "connections": lambda: sum(one.pool.exchanges_in_flight for one in self._transports()),
            "idle_connections": lambda: sum(one.pool.idle_connections for one in self._transports()),
            "dns_lookups": lambda: sum(one.dns_entries for one in self._transports()),
        }
        sizes: dict[str, Callable[[], int]] = {
            "idempotent_responses": lambda: results.size,
            "cached_responses": lambda: sum(one.size for one in responses),
            "coalesced_requests": lambda: self.coalescer.size,
        }
        if conversations is not None:
            entries["conversations"] = lambda: conversations.entries
            sizes["conversations"] = lambda: conversations.size
        self.metrics.export_state(entries, sizes)

    def _transports(self) -> Iterable[HttpTransport]:
        transports = (one.transport for one in self.providers.values() if isinstance(one, HttpProvider))
        return [one for one in transports if isinstance(one, HttpTransport)]

    def _replace_catalog(self, settings: Settings, catalog: Catalog) -> None:
        providers, previous = settings.providers, self.settings.providers
        self._known_models = frozenset((model.provider, model.id) for model in catalog.models())
        kept = (name for name in providers if _has_same_endpoint(name, previous, providers))
        catalog.adopt_listed(self.catalog, kept)
        self.catalog = catalog

    def _forget_failures(self, settings: Settings, provider_set: ProviderSet, replaced: Iterable[str]) -> None:
        """Drop the circuit breakers of servers and keys that are not used any more."""
        for name in replaced:
            if not _has_same_endpoint(name, self.settings.providers, settings.providers):
                self.breakers.forget(name)
            elif name in self._key_pools:
                changed = provider_set.key_pools[name].changed_ids(self._key_pools[name])
                # Calls of a provider with only one key do not name it.
                self.breakers.forget(name, {*changed, NO_KEY.id} if changed else ())

    def _replace_providers(self, settings: Settings, provider_set: ProviderSet) -> None:
        for name in self.providers.keys() - provider_set.providers.keys():
            self.metrics.forget_provider(name)
        self.providers, self._key_pools = provider_set.providers, provider_set.key_pools
        self.health.replace_providers(self.providers, settings.missing_api_keys())
        self.prober.replace_providers(self.providers, _probe_kinds(settings))
        self.metrics.export_breaker_states(self.providers, self.health.circuit_state)
        self.metrics.export_quarantined_keys(self._key_pools, self._quarantined_count)

    def _reconfigure(self, settings: Settings) -> None:
        # Never more than before: a reload must not turn authentication off.
        self.unknown_callers = min(self.unknown_callers, settings.unknown_callers)
        self.metrics.export_token_expiries(_token_expiries(settings), time.time)
        self.usage_stats.reconfigure(settings.max_callers)
        self.breakers.reconfigure(settings.circuit_breaker, settings.retry)
        self.retry_budgets.reconfigure(settings.retry)
        self.storage.reconfigure(settings)
        self.bulkhead.reconfigure(settings.providers, settings.server)
        self.admission.reconfigure(settings.server)
        self.lag_monitor.max_lag_seconds = settings.server.max_event_loop_lag_seconds

    def _quarantined_count(self, provider: str) -> int:
        key_pool = self._key_pools.get(provider)
        return 0 if key_pool is None else key_pool.quarantined_count


def _has_same_endpoint(name: str, old: Mapping[str, ProviderSettings], new: Mapping[str, ProviderSettings]) -> bool:
    if name not in old or name not in new:
        return False
    before, after = old[name], new[name]
    return all(getattr(before, setting) == getattr(after, setting) for setting in ENDPOINT_SETTINGS)


def _token_expiries(settings: Settings) -> dict[str, list[float]]:
    """Return when the tokens of each caller expire, without tokens and callers for which nothing does."""
    expiries = {
        name: [token.expires.timestamp() for token in caller.tokens if token.expires is not None]
        for name, caller in settings.callers.items()
    }
    return {name: times for name, times in expiries.items() if times}


def _probe_kinds(settings: Settings) -> dict[str, ProbeKind]:
    """Return how each provider is probed while its circuit breaker is open; a provider without its key is not."""
    return {
        name: provider.probe
        for name, provider in settings.providers.items()
        if provider.enabled and not provider.lacks_api_key and provider.probe != "off"
    }
