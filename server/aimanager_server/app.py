"""The composition root: every part of one server, and the route of a call from top to bottom."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from . import log
from .catalogue import Catalogue
from .fault import Fault
from .handler import compose
from .health import ProviderHealth
from .hints import hints_for
from .metrics import Metrics
from .metrics_listener import MetricsListener
from .opening import Opened
from .pipeline.attempt import Attempt, Policy
from .pipeline.conform import Conform
from .pipeline.count import Count
from .pipeline.discover import Discover
from .pipeline.dispatch import Dispatch
from .pipeline.embed import Embed
from .pipeline.embed_resolve import EmbedResolver
from .pipeline.fetch import Fetch
from .pipeline.guard import Guard
from .pipeline.keep import Keep
from .pipeline.limit import Limit
from .pipeline.observe import Observe
from .pipeline.repeat import Repeat
from .pipeline.resolve import Resolver
from .plugins import ProviderRegistry
from .pricing import PriceList
from .providers.fetching import HttpsFetcher
from .providers.masking import masked
from .rpc.counting import Counting
from .rpc.embeddings import EmbeddingService
from .rpc.generation import GenerationService, Timeouts
from .rpc.health import HealthService
from .rpc.interceptors.admit import Admit
from .rpc.interceptors.authenticate import Authenticate
from .rpc.interceptors.correlate import Correlate
from .rpc.interceptors.measure import Measure
from .rpc.interceptors.rate_limit import RateLimit
from .rpc.interceptors.translate_errors import TranslateErrors
from .rpc.models import ModelService
from .server import CannotListen, Server
from .settings import Settings
from .settings_error import SettingsError
from .state.answers import Answers
from .state.breaker import Breakers, Rules
from .state.limiter import Limiter
from .state.vitals import Vitals

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
        limiter, vitals = Limiter(clock), Vitals(clock, time.time)
        breakers = Breakers(_rules(settings), clock)
        health = ProviderHealth(self.providers, breakers, vitals, clock, time.time, _missing_keys(settings))
        self.metrics.watch_breakers(self.providers, health.circuit)

        # The route of a call: an RPC passes the interceptors, is resolved, passes the layers, and reaches its provider.
        admit = Admit(server.max_in_flight, server.max_in_flight_per_caller)
        interceptors = (
            Correlate(),  # first, so that every answer and log line has the id
            Measure(self.metrics, clock),  # outside the translation, to see the code that was sent
            TranslateErrors(self.metrics),  # around all that may refuse
            Authenticate(settings),  # before anything is spent on a stranger
            RateLimit(limiter, settings.tiers),  # needs to know the caller; a refused call takes no place
            admit,  # last: holds a place while the handler runs, and no longer
        )
        fetches, limits = server.fetch_attachments, settings.limits
        resolver = Resolver(catalogue, settings.providers, limits, server.default_model, fetches=fetches)
        _check_default(resolver, server.default_model)
        observe, limit = Observe(self.metrics, clock), Limit(settings.tiers, limiter)
        attempt = Attempt(_policy(settings), clock, asyncio.sleep, random.random)
        guard = Guard(breakers, vitals, clock)
        fetcher = HttpsFetcher() if fetches else None
        fetch = Fetch(fetcher, catalogue.find, limits.attachment_bytes, limits.message_bytes)
        layers = (
            observe,  # first, so that refused, repeated and failed calls count too
            Repeat(_answers(settings)),  # before anything is charged
            limit,  # before any work; settles with the usage
            Keep(),  # outside attempt: what is lifted out of an answer is of the one that the caller gets
            attempt,  # asks again, while nothing was seen
            fetch,  # inside attempt: the target decides what is needed; outside conform: a repair needs no second look
            Conform(clock),  # around one target: each is asked for JSON in its own way, and may be asked to repair it
            guard,  # inside attempt: an open circuit is not asked again
        )
        prices = PriceList(catalogue, lambda: datetime.now(UTC))
        handler = compose(layers, Dispatch(self.providers, prices))
        embedders = opened.embedders()
        embed = Embed((observe, limit), (attempt, guard), embedders, catalogue, prices)
        texts = EmbedResolver(catalogue, resolver, embedders, self.providers, settings.limits)
        count = Count((attempt, fetch), opened.counters(), breakers.is_open, clock)
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
            ),
            EmbeddingService(embed, texts.resolve, timeouts.unary, settings.limits.embedding_inputs, clock),
            HealthService(health, admit.closed),
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
        watch = asyncio.create_task(app.metrics.watch_loop())
        stack.callback(watch.cancel)
        listing = asyncio.gather(*map(app.discover.try_one, app.plugged))
        stack.callback(listing.cancel)
        if app.plugged:
            await asyncio.wait({listing}, timeout=PLUGINS_SECONDS)
        await app.server.start()
        stack.push_async_callback(app.server.stop, 1.0)
        yield app.server


def run(settings: Settings, *, hints: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    secrets = _secrets(settings)
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


def _check_default(resolver: Resolver, default_model: str) -> None:
    if not default_model:
        return
    try:
        resolver.model(default_model)
    except Fault as fault:
        raise CannotStart(f"server.default_model cannot be used: {fault.message}") from fault


def _missing_keys(settings: Settings) -> dict[str, str]:
    return {
        name: f"Set {provider.key_variable}, or api_key under [providers.{name}] in the config file."
        for name, provider in settings.providers.items()
        if provider.key_variable and not provider.credentials()
    }


def _rules(settings: Settings) -> Rules:
    breaker = settings.breaker
    return Rules(
        failure_threshold=breaker.failure_threshold,
        window=breaker.window_seconds,
        window_calls=breaker.window_calls,
        window_share=breaker.window_share,
        open=breaker.open_seconds,
        longest_open=breaker.longest_open_seconds,
    )


def _policy(settings: Settings) -> Policy:
    retry = settings.retry
    return Policy(attempts=retry.attempts, base=retry.base_seconds, longest=retry.longest_advice_seconds)


def _answers(settings: Settings) -> Answers:
    repeat = settings.repeat
    return Answers(repeat.entries, repeat.bytes, repeat.seconds, time.monotonic)


def _secrets(settings: Settings) -> tuple[str, ...]:
    providers = settings.providers.values()
    keys = (credential.key for provider in providers for credential in provider.credentials())
    headers = (value for provider in providers for value in provider.headers.values())
    return (*keys, *headers)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
