"""Circuit breakers per API key, Retry-After, and model statistics."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.handler import AttemptHandler, compose
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey, Target
from aimanager_server.core.response import TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.circuit_breaker import CircuitBreakerLayer
from aimanager_server.resilience.breaker_registry import BreakerRegistry
from aimanager_server.resilience.circuit_breaker import CircuitState
from aimanager_server.telemetry.model_stats import ModelStats
from aimanager_server.telemetry.provider_stats import ProviderStats
from tests.support.calls import TARGET, make_attempt
from tests.support.clock import FakeClock
from tests.support.layers import accounting_layer
from tests.support.upstream import RESPONSE_EVENTS, USAGE, ScriptedUpstream


class Setup:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = BreakerRegistry(CircuitBreakerSettings(), RetrySettings(), self.clock)
        self.provider_stats = ProviderStats(self.clock, self.clock)
        self.model_stats = ModelStats(self.clock)
        accounting = accounting_layer(clock=self.clock, subscribers=(self.provider_stats, self.model_stats))
        self.layers = (CircuitBreakerLayer(self.breakers), accounting)

    async def send(self, key_id: str, upstream: AttemptHandler | None = None, **fields: Any) -> ResponseStream:
        attempt = make_attempt(api_key=ApiKey(key_id, "secret"), **fields)
        return await compose(self.layers, upstream or ScriptedUpstream())(attempt)

    async def fail(self, key_id: str, error: GatewayError, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(type(error)):
                await self.send(key_id, ScriptedUpstream(error))

    async def succeeds(self, key_id: str) -> bool:
        upstream = ScriptedUpstream()
        await (await self.send(key_id, upstream)).result()
        return len(upstream.requests) == 1


async def test_model_failing_with_one_key_is_called_with_another() -> None:
    setup = Setup()
    await setup.fail("1", errors.ProviderInternalError("down"), times=5)

    with pytest.raises(errors.CircuitOpen):
        await setup.send("1")

    assert await setup.succeeds("2")


@pytest.mark.parametrize(
    "error",
    [errors.ProviderCredentialsInvalid("no"), errors.ProviderQuotaExhausted("spent")],
    ids=lambda error: error.reason,
)
async def test_rejected_key_is_blocked_for_all_models_and_other_keys_are_not(error: GatewayError) -> None:
    setup = Setup()

    await setup.fail("1", error)

    with pytest.raises(errors.CircuitOpen, match="rejected the server's API key") as raised:
        await setup.send("1", target=Target("mock", "mock-small"))
    assert raised.value.retry_after == 300.0
    assert await setup.succeeds("2")


async def test_rejection_of_an_earlier_call_does_not_extend_the_block() -> None:
    setup = Setup()
    first = await setup.send("1", ScriptedUpstream((TextDelta(0, "Hel"), errors.ProviderCredentialsInvalid("no"))))
    await setup.fail("1", errors.ProviderCredentialsInvalid("no"))
    setup.clock.advance(100)

    with pytest.raises(errors.ProviderCredentialsInvalid):
        await first.result()

    assert setup.breakers.get("mock", "", "1").try_acquire() == 200.0


async def test_caller_keys_share_a_breaker_separate_from_the_servers() -> None:
    setup = Setup()
    await setup.fail(CALLER_KEY_ID, errors.ProviderInternalError("down"), times=5)

    with pytest.raises(errors.CircuitOpen):
        await setup.send(CALLER_KEY_ID)

    assert await setup.succeeds("1")


@pytest.mark.parametrize(
    "error",
    [
        errors.ProviderCredentialsInvalid("no"),
        errors.ProviderQuotaExhausted("spent"),
        errors.CallerKeyRejected("no"),
        errors.ProviderRateLimited("slow", retry_after=30.0),
    ],
    ids=lambda error: error.reason,
)
async def test_rejected_or_limited_caller_key_blocks_no_calls(error: GatewayError) -> None:
    setup = Setup()

    await setup.fail(CALLER_KEY_ID, error, times=6)

    assert await setup.succeeds(CALLER_KEY_ID)
    assert await setup.succeeds("1")
    assert setup.provider_stats.window("mock").error_rate() == 0.0


async def test_retry_after_blocks_calls_and_leaves_the_breaker_closed() -> None:
    setup = Setup()
    await setup.fail("1", errors.ProviderRateLimited("slow", retry_after=30.0))
    setup.clock.advance(10)
    upstream = ScriptedUpstream()

    with pytest.raises(errors.ProviderRateLimited, match="rate-limiting requests") as raised:
        await setup.send("1", upstream)

    assert (upstream.requests, raised.value.retry_after) == ([], 20.0)
    assert setup.breakers.get(*TARGET.key, "1").state is CircuitState.CLOSED
    assert await setup.succeeds("2")
    setup.clock.advance(20)
    assert await setup.succeeds("1")


@pytest.mark.parametrize("retry_after", [None, 0.0, math.inf])
async def test_retry_after_without_a_duration_blocks_no_calls(retry_after: float | None) -> None:
    setup = Setup()

    await setup.fail("1", errors.ProviderRateLimited("slow", retry_after=retry_after))

    assert await setup.succeeds("1")


async def test_response_is_recorded_with_latency_and_tokens() -> None:
    setup = Setup()
    response = await setup.send("1", ScriptedUpstream(RESPONSE_EVENTS), is_streamed=True)
    assert setup.model_stats.in_flight(*TARGET.key) == 1

    setup.clock.advance(2)
    await response.result()

    snapshot = setup.model_stats.snapshots()[0]
    assert (snapshot.samples, snapshot.succeeded) == (1, 1)
    assert (snapshot.latency_p50, snapshot.time_to_first_token_p50) == (2.0, 0.0)
    assert snapshot.tokens_per_second == USAGE.output_tokens / 2
    assert setup.model_stats.in_flight(*TARGET.key) == 0


async def test_unary_response_has_no_time_to_first_token() -> None:
    setup = Setup()

    await setup.succeeds("1")

    assert setup.model_stats.snapshots()[0].time_to_first_token_p50 is None


@pytest.mark.parametrize(
    ("error", "samples"),
    [(errors.ProviderInternalError("down"), 1), (errors.ProviderRejectedRequest("odd"), 0)],
    ids=["provider", "caller"],
)
async def test_only_provider_errors_are_recorded_in_model_stats(error: GatewayError, samples: int) -> None:
    setup = Setup()

    await setup.fail("1", error)

    assert sum(row.samples for row in setup.model_stats.snapshots()) == samples
    assert setup.model_stats.in_flight(*TARGET.key) == 0


async def test_rejected_and_cancelled_calls_are_not_samples() -> None:
    setup = Setup()
    setup.breakers.get(*TARGET.key, "1").open_for(10)
    with pytest.raises(errors.CircuitOpen):
        await setup.send("1")
    response = await setup.send("2")

    await response.aclose()

    assert sum(row.samples for row in setup.model_stats.snapshots()) == 0
    assert setup.model_stats.in_flight(*TARGET.key) == 0
