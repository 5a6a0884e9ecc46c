"""The layers that a call for vectors passes: retries and circuits around a batch, books and limits around it all."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.config.settings import Tier
from aimanager_server.core.embedding import Embedder
from aimanager_server.core.errors import CircuitOpen, GatewayError, ProviderOverloaded
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.operations.embed import Embed
from aimanager_server.pipeline.circuit_breaker import Guard
from aimanager_server.pipeline.quota import Limit
from aimanager_server.resilience.breaker_registry import Breakers, Rules
from aimanager_server.resilience.rate_limiter import Limiter
from aimanager_server.telemetry.metrics import Metrics
from aimanager_server.telemetry.provider_stats import Vitals
from tests.support.calls import FakeClock, labels
from tests.support.embeddings import Lengths, embed_call
from tests.support.layers import accounting, attempting, observing

CATALOGUE = Catalogue.load()
MODEL: dict[str, Any] = {"provider": "mock", "model": "mock-embedding"}
"""Takes 16 inputs at once."""


def price(provider: str, model: str, usage: Usage) -> Cost:
    return Cost(usage.input_tokens, 0)


def texts(count: int) -> tuple[str, ...]:
    return tuple("x" * (number + 1) for number in range(count))


class Layered:
    """The layers of the real composition around an embedder, on a clock that does not move by itself."""

    def __init__(self, embedder: Embedder, tiers: dict[str, Tier] | None = None) -> None:
        clock = self.clock = FakeClock()
        self.metrics = Metrics(lambda provider, model: True)
        self.breakers = Breakers(Rules(failure_threshold=4), clock)
        self.vitals = Vitals(clock, clock)
        outer = (observing(self.metrics, clock), Limit(tiers or {}, Limiter(clock)))
        attempt = attempting(clock)
        inner = (attempt, Guard(self.breakers, self.vitals, clock), accounting(price, self.metrics))
        self.embed = Embed(outer, inner, {"mock": embedder}, CATALOGUE, price)


async def test_a_batch_that_failed_in_passing_is_asked_again_by_itself() -> None:
    failures = [ProviderOverloaded("busy")]

    def refuse(inputs: tuple[str, ...]) -> GatewayError | None:
        return failures.pop() if failures and len(inputs) == 4 else None

    embedder = Lengths(refuse)
    layered = Layered(embedder)

    embedded = await layered.embed(embed_call(*texts(20), **MODEL))

    assert len(embedded.vectors) == 20
    assert sorted(len(batch) for batch in embedder.asked) == [4, 4, 16]
    assert layered.clock.pauses == [0.25]


async def test_an_open_circuit_is_not_asked() -> None:
    embedder = Lengths(lambda inputs: ProviderOverloaded("busy"))
    layered = Layered(embedder)

    for _ in range(2):
        with pytest.raises((ProviderOverloaded, CircuitOpen)):
            await layered.embed(embed_call("a", **MODEL))
    with pytest.raises(CircuitOpen):
        await layered.embed(embed_call("a", **MODEL))

    assert len(embedder.asked) == 4
    assert layered.vitals.pulse("mock").last_error_reason == "PROVIDER_OVERLOADED"


async def test_the_whole_call_is_counted_once_with_all_it_took() -> None:
    layered = Layered(Lengths())

    await layered.embed(embed_call(*texts(20), **MODEL))

    registry = layered.metrics.registry
    series = {"provider": "mock", "model": "mock-embedding"}
    assert labels(registry, "aimanager_requests_total", **series, method="unary") == 1
    assert labels(registry, "aimanager_tokens_total", **series, kind="input") == 20
    assert labels(registry, "aimanager_cost_usd_total", **series) == pytest.approx(20e-9)
    assert labels(registry, "aimanager_in_flight") == 0


async def test_the_callers_tokens_are_limited_and_settled() -> None:
    layered = Layered(Lengths(), {"free": Tier(tokens_per_minute=100)})

    for _ in range(3):
        await layered.embed(embed_call("x" * 200, **MODEL))  # 51 reserved, 1 used
    with pytest.raises(GatewayError) as caught:
        await layered.embed(embed_call("x" * 394, **MODEL))

    assert caught.value.reason == "RATE_LIMITED"
