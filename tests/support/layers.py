"""Pipeline layers on a fake clock, constructed as in app.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.core.handler import AttemptHandler, CallHandler, Clock, Layer, ObservingLayer, compose
from aimanager_server.core.request import Attempt, Call
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost, CostFunction, Usage
from aimanager_server.pipeline.accounting import Accounting, AttemptSubscriber
from aimanager_server.pipeline.hedging import Hedging
from aimanager_server.pipeline.retry_and_fallback import RetryAndFallback
from aimanager_server.pipeline.telemetry import Telemetry
from aimanager_server.resilience.key_pool import KeyPool
from aimanager_server.resilience.retry_budget import RetryBudgets
from aimanager_server.telemetry.metrics import Metrics
from aimanager_server.telemetry.usage_stats import UsageStats
from tests.support.calls import make_attempt
from tests.support.clock import FakeClock


def new_metrics() -> Metrics:
    """Return metrics that accept every provider and model as a label."""
    return Metrics(_is_known_model)


def retry_layer(
    clock: FakeClock,
    random: float = 1.0,
    budget_burst: int = 10,
    metrics: Metrics | None = None,
    key_pools: Mapping[str, KeyPool] | None = None,
    hedging: Hedging | None = None,
) -> RetryAndFallback:
    """Return the layer with a constant jitter; its backoff advances the clock."""
    budgets = RetryBudgets(RetrySettings(budget_burst=budget_burst), clock)
    return RetryAndFallback(
        RetrySettings(), CircuitBreakerSettings(), budgets, key_pools or {}, metrics or new_metrics(), clock,
        clock.sleep, lambda: random, hedging,
    )  # fmt: skip


def retrying(
    clock: FakeClock,
    upstream: AttemptHandler,
    layers: Sequence[Layer[Attempt[Any]] | ObservingLayer[Attempt[Any]]] = (),
    **options: Any,
) -> CallHandler:
    """Return a handler of calls: the retry loop over `layers` and accounting, over the upstream."""
    accounting = accounting_layer(clock=clock)
    return retry_layer(clock, **options).over(compose((*layers, accounting), upstream))


def single_attempt(handler: AttemptHandler) -> CallHandler:
    """Return a handler of calls that makes one attempt at the first target."""

    async def handle(call: Call) -> ResponseStream:
        stream = await handler(make_attempt(call))
        stream.metadata.attempts = call.attempts.records
        return stream

    return handle


def telemetry_layer(metrics: Metrics, clock: FakeClock) -> Telemetry:
    return Telemetry(metrics, UsageStats(clock, clock, _is_known_model), clock)


def accounting_layer(
    cost_of: CostFunction | None = None,
    clock: Clock | None = None,
    subscribers: Sequence[AttemptSubscriber] = (),
) -> Accounting:
    """Return the layer; without `cost_of`, no price is known."""
    return Accounting(cost_of or _unknown_cost, clock or FakeClock(), subscribers)


def with_accounting(
    upstream: AttemptHandler, clock: FakeClock | None = None, subscribers: Sequence[AttemptSubscriber] = ()
) -> AttemptHandler:
    """Return the upstream behind the accounting layer."""
    return compose((accounting_layer(clock=clock, subscribers=subscribers),), upstream)


def _is_known_model(provider: str, model: str) -> bool:
    return True


def _unknown_cost(provider: str, model: str, usage: Usage) -> Cost | None:
    return None
