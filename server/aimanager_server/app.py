"""The composition root: every part of one server, and the route of a call from top to bottom."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from . import parts
from .catalog.catalog import Catalogue
from .catalog.discovery import Discover
from .catalog.pricing import PriceList
from .commands.quickstart import hints_for
from .config.errors import SettingsError
from .config.settings import Settings
from .core.errors import GatewayError
from .core.handler import compose
from .operations.count_tokens import Count
from .operations.embed import Embed
from .pipeline.accounting import Account
from .pipeline.artifacts import Keep
from .pipeline.attachments import Fetch
from .pipeline.circuit_breaker import Guard
from .pipeline.dispatch import Dispatch
from .pipeline.idempotency import Repeat
from .pipeline.key_rotation import Rotate
from .pipeline.quota import Limit
from .pipeline.retry import Attempt
from .pipeline.stream_recovery import Rescue
from .pipeline.structured_output import Conform
from .pipeline.telemetry import Observe
from .pipeline.timeouts import Pace
from .providers.attachments.fetcher import HttpsFetcher
from .providers.plugins.registry import ProviderRegistry
from .providers.provider_set import Opened
from .resilience.breaker_registry import Breakers
from .resilience.load_shedding import LoopLag
from .resilience.prober import Prober
from .resilience.provider_health import ProviderHealth
from .resilience.rate_limiter import Limiter
from .routing.embedding_resolver import EmbedResolver
from .routing.load_balancing import Routing
from .routing.resolver import Resolver
from .rpc.interceptors.admission import Admit
from .rpc.interceptors.auth import Authenticate
from .rpc.interceptors.errors import TranslateErrors
from .rpc.interceptors.metrics import Measure
from .rpc.interceptors.rate_limit import RateLimit
from .rpc.interceptors.request_id import Correlate
from .rpc.server import CannotListen, Server
from .rpc.services.assess_providers import Assessing
from .rpc.services.count_tokens import Counting
from .rpc.services.embeddings import EmbeddingService
from .rpc.services.generation import GenerationService, Timeouts
from .rpc.services.health import HealthService
from .rpc.services.metrics_summary import Summing
from .rpc.services.models import ModelService
from .telemetry import logs as log
from .telemetry.metrics import Metrics
from .telemetry.metrics_server import MetricsListener
from .telemetry.model_stats import Quality
from .telemetry.provider_stats import Vitals
from .telemetry.redaction import masked
from .telemetry.usage_stats import Sums

PLUGINS_SECONDS = 1.0
"""How long the start waits for plug-ins to say which models they have."""


class CannotStart(Exception):
    """Settings that are well formed do not fit together; the message says which, and what to do."""


class App:
    """One server's parts, joined. Nothing listens yet; made inside a running event loop."""

    def __init__(self, settings: Settings, registry: ProviderRegistry | None = None) -> None:
        clock, server = time.monotonic, settings.server
        catalogue = Catalogue.load().with_providers(settings.providers).corrected(settings.models)
        known = frozenset((model.provider, model.id) for model in catalogue.models())
        self.metrics = Metrics(lambda provider, model: (provider, model) in known)
        opened = Opened(settings, catalogue, registry or ProviderRegistry())
        self.providers, self.plugged = opened.providers, opened.plugged
        self.lag = LoopLag(clock, server.shed_lag_seconds)
        limiter, vitals, quality = Limiter(clock), Vitals(clock, time.time), Quality(clock)
        sums = Sums(clock, time.time, self.metrics.known)
        breakers, prices = Breakers(parts.rules(settings), clock), PriceList(catalogue, lambda: datetime.now(UTC))
        health = ProviderHealth(self.providers, breakers, vitals, clock, time.time, parts.missing_keys(settings))
        self.prober = Prober(
            self.providers, parts.probed(settings, self.providers), breakers, catalogue.find, health.probed,
            self.metrics.probed, asyncio.sleep, random.random,
        )  # fmt: skip
        self.metrics.watch_breakers(self.providers, health.circuit)
        self.metrics.watch_keys(opened.rings, lambda name: opened.rings[name].quarantined)
        self.metrics.watch_loop(self.lag.seconds)

        # The route of a call: an RPC passes the interceptors, is resolved, passes the layers, and reaches its provider.
        admit = Admit(
            server.max_in_flight, server.max_in_flight_per_caller, server.queue_length, server.queue_seconds,
            self.lag.is_late,
        )  # fmt: skip
        interceptors = (
            Correlate(),  # first, so that every answer and log line has the id
            Measure(self.metrics, clock),  # outside the translation, to see the code that was sent
            TranslateErrors(self.metrics),  # around all that may refuse
            Authenticate(settings),  # before anything is spent on a stranger
            RateLimit(limiter, settings.tiers),  # needs to know the caller; a refused call takes no place
            admit,  # last: holds a place while the handler runs, and no longer
        )
        fetches, limits = server.fetch_attachments, settings.limits
        order = Routing(quality.first_token, quality.in_flight, prices.rates, breakers.is_open, random.random)
        resolver = Resolver(
            catalogue, settings.providers, limits, server.default_model, fetches=fetches, routes=settings.routes,
            models=settings.models, patience=settings.patience, longest=server.stream_timeout_seconds, order=order,
        )  # fmt: skip
        try:
            resolver.check_routes()
        except GatewayError as fault:
            raise CannotStart(fault.message) from fault
        policy, hedge = parts.policy(settings), parts.hedge(settings, quality, self.metrics)
        observe, limit = Observe(self.metrics, sums, clock), Limit(settings.tiers, limiter)
        budgets = parts.budgets(settings)
        attempt = Attempt(policy, budgets, self.metrics, clock, asyncio.sleep, random.random, hedge)
        rotate = Rotate(opened.rings, budgets, clock, policy.attempts, settings.breaker.refused_seconds)
        places = parts.places(settings, clock)
        guard, account = Guard(breakers, vitals, clock, quality), Account(self.metrics, sums, prices)
        fetch = Fetch(
            HttpsFetcher() if fetches else None, catalogue.find, limits.attachment_bytes, limits.message_bytes
        )
        front = (
            observe,  # first, so that refused, repeated and failed calls count too
            Repeat(parts.answers(settings)),  # before anything is charged
            limit,  # before any work; settles with what all attempts took
            Keep(),  # outside the attempts: what is lifted out of an answer is of the one that the caller gets
        )
        self.engine = (
            Rescue(policy, budgets, self.metrics, clock),  # once an answer has begun: begins it again, where honest
            attempt,  # while nothing of it is there: asks again, and the next target
            limit.at_provider,  # inside attempt: each target has its provider's quota
            fetch,  # inside attempt: the target decides what is needed; outside conform: a repair needs no second look
            Conform(clock, quality.conformed),  # around one target: each is asked for JSON in its own way
            rotate,  # chooses the key; inside conform, whose repair may take another
            places,  # holds a place at the provider; a full one is no failure
            guard,  # inside all that asks again: an open circuit is not asked
            account,  # books what was sent, and that alone
            Pace(),  # next to the provider, whose silence it tells from ours
        )
        handler = compose((*front, *self.engine), Dispatch(self.providers))
        embedders = opened.embedders()
        embed = Embed(
            (observe, limit), (attempt, limit.at_provider, rotate, places, guard, account), embedders, catalogue, prices
        )
        texts = EmbedResolver(catalogue, resolver, embedders, self.providers, settings.limits)
        count = Count((attempt, fetch, rotate), opened.counters(), breakers.is_open, clock)
        self.discover = Discover(opened.listers(), catalogue, health.probed)
        timeouts = Timeouts(server.unary_timeout_seconds, server.stream_timeout_seconds)
        services = (
            GenerationService(handler, resolver.resolve, settings.limits, timeouts, clock),
            ModelService(
                catalogue,
                lambda name, caller: resolver.model(name, caller).model,
                self.providers,
                health.available,
                self.discover,
                Counting(count, resolver.resolve, settings.limits, timeouts.unary, clock),
                lambda: datetime.now(UTC).date(),
                resolver.routes,
            ),
            EmbeddingService(embed, texts.resolve, timeouts.unary, settings.limits.embedding_inputs, clock),
            HealthService(
                health,
                admit.closed,
                Assessing(health, quality, prices),
                Summing(health, sums, lambda: observe.in_flight),
            ),
        )
        self.server = Server(settings, interceptors, admit, services)


@asynccontextmanager
async def running(settings: Settings, registry: ProviderRegistry | None = None) -> AsyncIterator[Server]:
    """A server that listens until the block ends; its `port` is the bound one. `registry` may hold plug-ins already.

    Raises CannotListen, or SettingsError for a plug-in that cannot be used.
    """
    app = App(settings, registry)
    async with AsyncExitStack() as stack:
        for provider in app.providers.values():
            stack.push_async_callback(provider.aclose)
        if settings.server.metrics_listen is not None:
            stack.enter_context(MetricsListener(settings.server.metrics_listen, app.metrics.registry))
        app.lag.start()
        stack.callback(app.lag.stop)
        stack.push_async_callback(app.prober.aclose)
        listing = asyncio.gather(*map(app.discover.try_one, app.plugged))
        stack.callback(listing.cancel)
        if app.plugged:
            await asyncio.wait({listing}, timeout=PLUGINS_SECONDS)
        await app.server.start()
        stack.push_async_callback(app.server.stop, 1.0)
        yield app.server


def run(settings: Settings, *, hints: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    secrets = parts.secrets(settings)
    log.configure(settings.server.log_level, lambda text: masked(text, secrets, longest=20_000))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, hints=hints))
    except (CannotListen, CannotStart) as error:
        sys.stderr.write(f"aimanager-server: {error}\n")
        return 1
    except SettingsError as error:
        print(f"aimanager-server: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(settings: Settings, *, hints: bool) -> None:
    async with running(settings) as server:
        if hints:
            print(hints_for(settings, server.port), flush=True)
        await server.serve_until_signal()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
