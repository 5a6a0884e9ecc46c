"""Layers of an embedding call: retries and circuit breakers per batch, telemetry and quotas per call."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.config.settings import ProviderTier, Tier
from aimanager_server.core.embedding import Embedder
from aimanager_server.core.errors import CircuitOpen, GatewayError, ProviderOverloaded, RateLimited
from aimanager_server.core.handler import AttemptHandler, CallHandler, compose
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.operations.embed import CreateEmbeddings
from aimanager_server.pipeline.circuit_breaker import CircuitBreakerLayer
from aimanager_server.pipeline.quota import CallerQuota, ProviderQuota
from aimanager_server.resilience.breaker_registry import BreakerRegistry
from aimanager_server.resilience.rate_limiter import RateLimiter
from aimanager_server.telemetry.provider_stats import ProviderStats
from tests.support.clock import FakeClock
from tests.support.embeddings import LengthEmbedder, embed_call, idempotency_store
from tests.support.layers import accounting_layer, new_metrics, retry_layer, telemetry_layer
from tests.support.metrics import sample_value

CATALOG = Catalog.load()
MODEL: dict[str, Any] = {"provider": "mock", "model": "mock-embedding"}
"""Accepts 16 inputs per request."""


def price(provider: str, model: str, usage: Usage) -> Cost:
    return Cost(usage.input_tokens, 0)


def texts(count: int) -> tuple[str, ...]:
    return tuple("x" * (number + 1) for number in range(count))


class FailFirst:
    """Fails the first request of each of the first `batches` batches."""

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._failed: set[tuple[str, ...]] = set()

    def __call__(self, inputs: tuple[str, ...]) -> GatewayError | None:
        if inputs in self._failed or len(self._failed) == self._batches:
            return None
        self._failed.add(inputs)
        return ProviderOverloaded("busy")


class Layered:
    """The layers of an embedding call around an embedder, on a fake clock."""

    def __init__(self, embedder: Embedder, tiers: dict[str, Tier] | None = None) -> None:
        clock = self.clock = FakeClock()
        self.metrics = new_metrics()
        self.breakers = BreakerRegistry(CircuitBreakerSettings(failure_threshold=4), RetrySettings(), clock)
        self.provider_stats = ProviderStats(clock, clock)
        self.telemetry = telemetry_layer(self.metrics, clock)
        caller_quota = CallerQuota(tiers or {}, RateLimiter(clock))
        subscribers = (self.metrics, self.telemetry.usage_stats, self.provider_stats)
        attempt_layers = (
            ProviderQuota(caller_quota),
            CircuitBreakerLayer(self.breakers),
            accounting_layer(price, clock, subscribers),
        )

        def attempts(embed: AttemptHandler) -> CallHandler:
            return retry_layer(clock).over(compose(attempt_layers, embed))

        telemetry, call_layers = partial(compose, (self.telemetry,)), partial(compose, (caller_quota,))
        self.embed = CreateEmbeddings(
            telemetry, idempotency_store(), call_layers, attempts, {"mock": embedder}, CATALOG, price
        )


async def test_only_the_failed_batch_is_retried() -> None:
    failures = [ProviderOverloaded("busy")]

    def error_for(inputs: tuple[str, ...]) -> GatewayError | None:
        return failures.pop() if failures and len(inputs) == 4 else None

    embedder = LengthEmbedder(error_for)
    layered = Layered(embedder)

    embedded = await layered.embed(embed_call(*texts(20), **MODEL))

    assert len(embedded.vectors) == 20
    assert sorted(len(batch) for batch in embedder.batches) == [4, 4, 16]
    assert layered.clock.sleeps == [0.25]


async def test_open_breaker_skips_the_provider() -> None:
    embedder = LengthEmbedder(lambda inputs: ProviderOverloaded("busy"))
    layered = Layered(embedder)

    for _ in range(2):
        with pytest.raises((ProviderOverloaded, CircuitOpen)):
            await layered.embed(embed_call("a", **MODEL))
    with pytest.raises(CircuitOpen):
        await layered.embed(embed_call("a", **MODEL))

    assert len(embedder.batches) == 4
    assert layered.provider_stats.window("mock").last_error_reason == "PROVIDER_OVERLOADED"


async def test_call_is_counted_once_with_its_total_usage() -> None:
    layered = Layered(LengthEmbedder())

    await layered.embed(embed_call(*texts(20), **MODEL))

    registry = layered.metrics.registry
    series = {"provider": "mock", "model": "mock-embedding"}
    assert sample_value(registry, "aimanager_requests_total", **series, method="unary") == 1
    assert sample_value(registry, "aimanager_tokens_total", **series, type="input") == 20
    assert sample_value(registry, "aimanager_cost_total", **series, currency="USD") == pytest.approx(20e-9)
    assert sample_value(registry, "aimanager_requests_in_flight") == 0


async def test_token_quota_is_enforced_and_adjusted() -> None:
    layered = Layered(LengthEmbedder(), {"free": Tier(tokens_per_minute=100)})

    for _ in range(3):
        await layered.embed(embed_call("x" * 200, **MODEL))  # 51 reserved, 1 used
    with pytest.raises(GatewayError) as raised:
        await layered.embed(embed_call("x" * 394, **MODEL))

    assert raised.value.reason == "RATE_LIMITED"


async def test_batches_of_one_call_take_one_request_of_the_provider_quota() -> None:
    tier = Tier(providers={"mock": ProviderTier(requests_per_minute=1)})
    layered = Layered(LengthEmbedder(), {"free": tier})

    embedded = await layered.embed(embed_call(*texts(40), **MODEL))

    assert len(embedded.vectors) == 40
    with pytest.raises(RateLimited):
        await layered.embed(embed_call("a", **MODEL))


async def test_attempts_of_all_batches_are_in_the_log_of_the_call() -> None:
    failures = [ProviderOverloaded("busy")]

    def error_for(inputs: tuple[str, ...]) -> GatewayError | None:
        return failures.pop() if failures and len(inputs) == 4 else None

    layered, call = Layered(LengthEmbedder(error_for)), embed_call(*texts(20), **MODEL)
    embedded = await layered.embed(call)

    assert sorted(record.error_reason for record in call.attempts.records) == ["", "", "PROVIDER_OVERLOADED"]
    assert call.attempts.usage() == embedded.usage
    assert call.attempts.cost() == embedded.cost
    total = layered.telemetry.usage_stats.summary(60).total
    assert (total.requests, total.input_tokens, total.failures) == (1, 20, 0)


async def test_each_batch_has_its_own_number_of_attempts() -> None:
    layered = Layered(LengthEmbedder(FailFirst(3)))

    embedded = await layered.embed(embed_call(*texts(48), **MODEL))

    assert len(embedded.vectors) == 48
