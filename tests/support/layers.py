"""Layers of the engine on a fake clock, made as the composition root makes them."""

from __future__ import annotations

from aimanager_server.core.handler import Handler, compose
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.pipeline.accounting import Account, Price
from aimanager_server.pipeline.retry import Attempt
from aimanager_server.pipeline.telemetry import Observe
from aimanager_server.resilience.retry_budget import Budgets
from aimanager_server.resilience.retry_policy import Policy
from aimanager_server.telemetry.metrics import Metrics
from aimanager_server.telemetry.usage_stats import Sums
from tests.support.calls import FakeClock


def metering() -> Metrics:
    """Every provider and model is a label."""
    return Metrics(_everything)


def attempting(clock: FakeClock, random: float = 1.0, reserve: float = 10.0, metrics: Metrics | None = None) -> Attempt:
    """Pauses move the clock."""
    return Attempt(Policy(), Budgets(0.1, reserve, clock), metrics or metering(), clock, clock.pause, lambda: random)


def observing(metrics: Metrics, clock: FakeClock) -> Observe:
    """With sums that nobody reads."""
    return Observe(metrics, Sums(clock, clock, _everything), clock)


def accounting(price: Price | None = None, metrics: Metrics | None = None) -> Account:
    """Nothing has a price unless one is given."""
    clock = FakeClock()
    return Account(metrics or metering(), Sums(clock, clock, _everything), price or _unknown)


def booked(upstream: Handler, metrics: Metrics | None = None) -> Handler:
    """The upstream, with what it takes entered in the ledger."""
    return compose((accounting(metrics=metrics),), upstream)


def _everything(provider: str, model: str) -> bool:
    return True


def _unknown(provider: str, model: str, usage: Usage) -> Cost | None:
    return None
