"""Slow providers, and calls that are hedged with a second target."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aimanager_server.config.resilience import CircuitBreakerSettings, HedgingSettings, RetrySettings
from aimanager_server.core.errors import (
    GatewayError,
)
from aimanager_server.core.handler import AttemptHandler, CallHandler, compose
from aimanager_server.core.request import Attempt, Call, Target, UpstreamTimer
from aimanager_server.core.response import ResponseMetadata
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage
from aimanager_server.pipeline.hedging import Hedging
from aimanager_server.pipeline.retry_and_fallback import RetryAndFallback
from aimanager_server.resilience.key_pool import KeyPool
from aimanager_server.resilience.retry_budget import RetryBudgets
from aimanager_server.telemetry.metrics import Metrics
from tests.support.calls import TARGET, make_attempt, make_call
from tests.support.layers import accounting_layer, new_metrics
from tests.support.upstream import RESPONSE_EVENTS

OTHER = Target("claude", "claude-opus-5-5")
PERCENTILE = 2.0


class Providers:
    """Each provider responds or fails after a delay; records start times, cancellations and closed responses."""

    def __init__(self, **by_provider: tuple[float, GatewayError | None]) -> None:
        self._by_provider = by_provider
        self.started: dict[str, float] = {}
        self.key_ids: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.closed: list[str] = []

    async def __call__(self, attempt: Attempt[Any]) -> ResponseStream:
        provider = attempt.target.provider
        started = self.started[provider] = asyncio.get_running_loop().time()
        self.key_ids[provider] = attempt.api_key.id
        seconds, error = self._by_provider[provider]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(provider)
            raise
        finally:
            attempt.upstream_timer.seconds += asyncio.get_running_loop().time() - started
        if error is not None:
            raise error
        metadata = ResponseMetadata(attempt.id, "", *attempt.target.key)
        return ResponseStream(metadata, _Response(provider, self.closed))


class _Response:
    """The events of one response. Records in `closed` that it was closed before it was read."""

    def __init__(self, provider: str, closed: list[str]) -> None:
        self._provider = provider
        self._closed = closed
        self.buffered = list(RESPONSE_EVENTS)

    async def read(self) -> list[Any]:
        return self.buffered

    async def aclose(self) -> None:
        self._closed.append(self._provider)

    def usage_so_far(self) -> Usage | None:
        return None


def hedging(max_ratio: float = 1.0, percentile: float | None = PERCENTILE, metrics: Metrics | None = None) -> Hedging:
    settings = HedgingSettings(max_ratio=max_ratio, min_delay_seconds=0.5)
    clock = asyncio.get_running_loop().time
    return Hedging(settings, lambda provider, model: percentile, metrics or new_metrics(), clock)


async def send(layer: Hedging, providers: AttemptHandler, call: Call | None = None) -> ResponseStream:
    """Send the call to its first target, hedged with its second one, with accounting around the providers."""
    call = call or hedged_call()
    clock = asyncio.get_running_loop().time

    def start_second() -> Attempt[Any]:
        attempt = make_attempt(call, target=OTHER, started_at=clock())
        attempt.upstream_timer = UpstreamTimer()
        return attempt

    accounted = compose((accounting_layer(clock=clock),), providers)
    return await layer(make_attempt(call, started_at=clock()), start_second, accounted)


def hedged_call(**fields: Any) -> Call:
    return make_call(targets=(TARGET, OTHER), **fields)


def attempts_of(call: Call) -> list[tuple[str, str]]:
    return [(record.provider, record.error_reason) for record in call.attempts.records]


def retrying_hedged(
    providers: Providers, metrics: Metrics | None = None, key_pools: Mapping[str, KeyPool] | None = None
) -> CallHandler:
    """Return the retry loop with hedging, with accounting around the providers."""
    clock, settings, metrics = asyncio.get_running_loop().time, RetrySettings(), metrics or new_metrics()
    loop = RetryAndFallback(
        settings, CircuitBreakerSettings(), RetryBudgets(settings, clock), key_pools or {}, metrics, clock,
        asyncio.sleep, lambda: 0.0, hedging(metrics=metrics),
    )  # fmt: skip
    return loop.over(compose((accounting_layer(clock=clock),), providers))
