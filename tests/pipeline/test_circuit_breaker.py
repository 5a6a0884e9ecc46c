import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError, all_errors
from aimanager_server.core.handler import AttemptHandler, compose
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey, Attempt, StreamTimeouts, Target
from aimanager_server.core.response import TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.circuit_breaker import CircuitBreakerLayer
from aimanager_server.resilience.breaker_registry import BreakerRegistry
from aimanager_server.resilience.circuit_breaker import CircuitState
from aimanager_server.telemetry.provider_stats import ProviderStats
from tests.support.calls import TARGET, make_attempt
from tests.support.clock import FakeClock
from tests.support.layers import accounting_layer
from tests.support.upstream import RESPONSE_EVENTS, USAGE, ScriptedUpstream

CALLER_KEY = ApiKey(CALLER_KEY_ID, "own")


class Setup:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = BreakerRegistry(CircuitBreakerSettings(), RetrySettings(), self.clock)
        self.provider_stats = ProviderStats(self.clock, self.clock)
        self.layer = CircuitBreakerLayer(self.breakers)
        self.accounting = accounting_layer(clock=self.clock, subscribers=(self.provider_stats,))

    async def send(self, upstream: AttemptHandler, **fields: Any) -> ResponseStream:
        return await compose((self.layer, self.accounting), upstream)(make_attempt(**fields))

    async def fail(self, error: GatewayError, times: int = 1, **fields: Any) -> None:
        for _ in range(times):
            with pytest.raises(type(error)):
                await self.send(ScriptedUpstream(error), **fields)

    @property
    def model_state(self) -> CircuitState:
        return self.breakers.get(TARGET.provider, TARGET.model).state

    @property
    def key_state(self) -> CircuitState:
        return self.breakers.get(TARGET.provider).state


async def test_open_breaker_rejects_calls_without_sending() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderInternalError("down"), times=5)
    upstream = ScriptedUpstream()

    with pytest.raises(errors.CircuitOpen) as raised:
        await setup.send(upstream)

    assert upstream.requests == []
    assert raised.value.retry_after == 5.0
    assert (raised.value.provider, raised.value.model) == (TARGET.provider, TARGET.model)


async def test_first_content_of_the_trial_call_closes_the_breaker() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderInternalError("down"), times=5)
    setup.clock.advance(5)

    response = await setup.send(ScriptedUpstream())

    assert setup.model_state is CircuitState.CLOSED
    await response.result()
    assert setup.provider_stats.window("mock").last_success_at == setup.clock.time


async def test_rejected_credentials_open_the_key_breaker_for_five_minutes() -> None:
    setup = Setup()

    await setup.fail(errors.ProviderCredentialsInvalid("no"))

    assert setup.key_state is CircuitState.OPEN
    assert setup.breakers.get("mock").try_acquire() == 300.0
    assert setup.provider_stats.window("mock").last_error_reason == "PROVIDER_CREDENTIALS_INVALID"


async def test_caller_key_bypasses_the_servers_key_breaker() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderQuotaExhausted("spent"))

    response = await setup.send(ScriptedUpstream(), api_key=CALLER_KEY)

    assert (await response.result()).message.parts


def idle_timeout() -> GatewayError:
    error = errors.StreamInterrupted("cut")
    error.__cause__ = errors.ProviderTimeout("no content")
    return error


@pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
async def test_every_error_has_the_breaker_effect_of_its_spec(kind: type[GatewayError]) -> None:
    setup = Setup()

    await setup.fail(kind("failed"))

    failures = setup.breakers.get("mock", TARGET.model).consecutive_failures
    assert failures == (1 if kind.spec.breaker_effect == "count" else 0)
    assert (setup.key_state is CircuitState.OPEN) == (kind.spec.breaker_effect == "open")
    is_recorded = kind.spec.breaker_effect != "ignore" or kind is errors.ProviderRateLimited
    assert bool(setup.provider_stats.window("mock").samples) == is_recorded


@pytest.mark.parametrize("error", [errors.FirstTokenTimeout("late"), idle_timeout()])
async def test_timeout_set_by_the_caller_is_not_a_provider_failure(error: GatewayError) -> None:
    setup = Setup()
    target = replace(TARGET, timeouts=StreamTimeouts(first_token=0.001, set_by_caller=True))

    await setup.fail(error, times=10, target=target)

    assert setup.breakers.get("mock", TARGET.model).consecutive_failures == 0
    assert not setup.provider_stats.window("mock").samples


async def test_interrupted_stream_counts_as_a_failure() -> None:
    setup = Setup()
    interruption = errors.StreamInterrupted("cut", usage=USAGE)
    response = await setup.send(ScriptedUpstream((TextDelta(0, "Hel"), interruption)))

    with pytest.raises(errors.StreamInterrupted):
        await response.result()

    assert setup.breakers.get("mock", TARGET.model).consecutive_failures == 1


async def test_response_closed_by_the_caller_is_not_recorded() -> None:
    setup, upstream = Setup(), ScriptedUpstream()
    response = await setup.send(upstream)

    await response.aclose()

    assert upstream.closed == 1
    assert not setup.provider_stats.window("mock").samples


async def test_cancelled_trial_call_permits_another() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderInternalError("down"), times=5)
    setup.clock.advance(5)

    async def cancelled(_attempt: Attempt[Any]) -> ResponseStream:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await setup.send(cancelled)

    assert setup.model_state is CircuitState.HALF_OPEN
    assert await setup.send(ScriptedUpstream())


async def test_rejection_by_the_model_breaker_releases_the_key_breaker() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderCredentialsInvalid("no"))
    setup.clock.advance(300)
    setup.breakers.get("mock", TARGET.model).open_for(600)

    with pytest.raises(errors.CircuitOpen):
        await setup.send(ScriptedUpstream())

    assert not setup.breakers.get("mock").rejects_calls


async def test_failing_model_leaves_the_key_breaker_closed() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderInternalError("down"), times=5)

    assert setup.key_state is CircuitState.CLOSED
    assert await setup.send(ScriptedUpstream(), target=Target("mock", "mock-small"))


NOT_THE_PROVIDERS = (errors.DeadlineExceeded("too late"), errors.Overloaded("full"), errors.ContentBlocked("no"))


@pytest.mark.parametrize("cause", NOT_THE_PROVIDERS, ids=lambda cause: cause.reason)
async def test_interruption_not_caused_by_the_provider_is_not_a_failure(cause: GatewayError) -> None:
    setup = Setup()
    interruption = errors.StreamInterrupted("interrupted")
    interruption.__cause__ = cause
    for _ in range(5):
        response = await setup.send(ScriptedUpstream((TextDelta(0, "Hel"), interruption)))
        with pytest.raises(errors.StreamInterrupted):
            await response.result()

    assert setup.model_state is CircuitState.CLOSED
    assert not setup.provider_stats.window("mock").samples


async def test_interruption_caused_by_a_spent_quota_opens_the_key_breaker() -> None:
    setup = Setup()
    interruption = errors.StreamInterrupted("interrupted")
    interruption.__cause__ = errors.ProviderQuotaExhausted("spent")
    response = await setup.send(ScriptedUpstream((TextDelta(0, "Hel"), interruption)))

    with pytest.raises(errors.StreamInterrupted):
        await response.result()

    assert setup.key_state is CircuitState.OPEN


async def test_half_open_breaker_admits_one_trial_call() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderInternalError("down"), times=5)
    setup.clock.advance(5)
    sent, respond = asyncio.Event(), asyncio.Event()

    async def slow(request: Attempt[Any]) -> ResponseStream:
        sent.set()
        await respond.wait()
        return await ScriptedUpstream()(request)

    trial = asyncio.create_task(setup.send(slow))
    await sent.wait()
    with pytest.raises(errors.CircuitOpen) as raised:
        await setup.send(ScriptedUpstream())
    respond.set()
    await (await trial).result()

    assert raised.value.retry_after == 1.0
    assert setup.model_state is CircuitState.CLOSED


async def test_response_reports_usage_so_far() -> None:
    async def answer(request: Attempt[Any]) -> ResponseStream:
        stream = await ScriptedUpstream()(request)
        return ResponseStream.from_iterator(stream.metadata, aiter(stream), stream.aclose, lambda: USAGE)

    response = await Setup().send(answer)

    assert response.usage_so_far() == USAGE


async def test_spent_quota_of_a_caller_key_leaves_the_servers_key_breaker_closed() -> None:
    setup = Setup()

    await setup.fail(errors.ProviderQuotaExhausted("spent"), api_key=CALLER_KEY)

    assert setup.key_state is CircuitState.CLOSED


async def test_interruption_of_a_call_from_before_the_recovery_is_ignored() -> None:
    setup = Setup()
    early = await setup.send(ScriptedUpstream((TextDelta(0, "Hel"), errors.StreamInterrupted("cut"))))
    await setup.fail(errors.ProviderInternalError("down"), times=5)
    setup.clock.advance(5)
    await (await setup.send(ScriptedUpstream())).result()

    with pytest.raises(errors.StreamInterrupted):
        await early.result()

    assert setup.breakers.get("mock", TARGET.model).consecutive_failures == 0


async def test_success_is_recorded_once_although_a_later_layer_rejects_the_answer() -> None:
    setup = Setup()
    response = await setup.send(ScriptedUpstream(RESPONSE_EVENTS))

    async def reject(events: object) -> None:
        raise errors.ProviderInternalError("rejected after its end")

    with pytest.raises(errors.ProviderInternalError):
        await response.finalized_by(reject).result()

    assert setup.breakers.get("mock", TARGET.model).consecutive_failures == 0
    assert [latency for _, latency in setup.provider_stats.window("mock").samples] == [0.0]


async def test_bug_in_the_gateway_releases_the_breakers() -> None:
    setup = Setup()
    await setup.fail(errors.ProviderInternalError("down"), times=5)
    setup.clock.advance(5)

    async def failing(_attempt: Attempt[Any]) -> ResponseStream:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await setup.send(failing)

    assert setup.model_state is CircuitState.HALF_OPEN
    assert await setup.send(ScriptedUpstream())
