"""Background probes of providers with open circuit breakers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from structlog.testing import capture_logs

from aimanager_server.catalog.model import EmbeddingSpec, Model
from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.handler import compose
from aimanager_server.core.request import Target
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.circuit_breaker import CircuitBreakerLayer
from aimanager_server.resilience.circuit_breaker import CircuitState
from aimanager_server.resilience.prober import is_reachable
from tests.support.calls import make_attempt
from tests.support.event_loop import in_virtual_time, run_ready_tasks
from tests.support.prober import UNREACHABLE, ProberSetup


async def test_successful_probe_half_opens_every_waiting_breaker_and_ends_probing() -> None:
    setup = ProberSetup()
    breakers = [setup.open_breaker("a"), setup.open_breaker("b", "2")]
    await setup.end_sleep()
    after_failure = {breaker.state for breaker in breakers}

    setup.provider.probe_error = None
    await setup.end_sleep()

    assert after_failure == {CircuitState.OPEN}
    assert {breaker.state for breaker in breakers} == {CircuitState.HALF_OPEN}
    assert setup.prober.active_providers == ()
    assert setup.recorded == ["PROVIDER_UNREACHABLE", ""]
    assert setup.counted == ["PROVIDER_UNREACHABLE", "success"]
    assert len(asyncio.all_tasks()) == 1


async def test_failed_trial_restarts_probing() -> None:
    setup = ProberSetup()
    setup.provider.probe_error = None
    breaker = setup.open_breaker()
    await setup.end_sleep()
    assert breaker.try_acquire() is None

    breaker.record_failure(breaker.generation, "PROVIDER_ERROR")
    await setup.end_sleep()

    assert setup.provider.probes == 2
    assert breaker.state is CircuitState.HALF_OPEN


async def test_half_open_breaker_admits_one_call_until_the_provider_recovers() -> None:
    setup = ProberSetup()
    setup.provider.probe_error = None
    setup.provider.failing_models.add("a")
    handler = compose((CircuitBreakerLayer(setup.breakers),), setup.provider)
    setup.open_breaker("a", "")

    def send() -> Awaitable[ResponseStream]:
        return handler(make_attempt(target=Target("claude", "a")))

    for _ in range(3):
        await setup.end_sleep()
        outcomes = await asyncio.gather(*(send() for _ in range(5)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in outcomes) == ["CircuitOpen"] * 4 + ["ProviderOverloaded"]
    setup.provider.failing_models.clear()
    await setup.end_sleep()
    await (await send()).result()

    assert setup.breakers.get("claude", "a").state is CircuitState.CLOSED
    assert setup.prober.active_providers == ()


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 3.6), (0.5, 4.0), (1.0, 4.4)])
async def test_probe_interval_has_jitter_and_is_advertised_to_rejected_calls(random: float, seconds: float) -> None:
    setup = ProberSetup(random=random)
    breaker = setup.open_breaker()
    await run_ready_tasks()

    for _ in range(3):
        await setup.end_sleep()

    assert setup.sleeps == [pytest.approx(seconds)] * 4
    assert breaker.try_acquire() == pytest.approx(seconds)
    await setup.prober.aclose()


async def test_rejected_keys_and_providers_without_probes_are_not_probed() -> None:
    setup = ProberSetup()
    all_models = setup.breakers.get("claude", "", "1")
    all_models.record_credentials_failure(all_models.generation, "PROVIDER_CREDENTIALS_INVALID")
    setup.breakers.get("openai", "a").open_for(5)

    await run_ready_tasks()

    assert (setup.prober.active_providers, setup.sleeps) == ((), [])


@in_virtual_time
async def test_hanging_probe_times_out_without_delaying_the_next_one() -> None:
    setup = ProberSetup()
    setup.provider.hangs = True
    breaker = setup.open_breaker()

    await setup.end_sleep()
    await setup.end_sleep()
    probes = setup.provider.probes
    async with asyncio.timeout(60):
        for _ in range(2):
            await setup.probe_recorded.acquire()

    assert probes == 2
    assert setup.recorded == ["PROVIDER_UNREACHABLE"] * 2
    assert breaker.state is CircuitState.OPEN
    await setup.prober.aclose()


async def test_hanging_probe_is_cancelled_when_a_later_one_succeeds() -> None:
    setup = ProberSetup()
    setup.provider.hangs = True
    setup.open_breaker()
    await setup.end_sleep()

    setup.provider.hangs, setup.provider.probe_error = False, None
    await setup.end_sleep()

    assert setup.recorded == [""]
    assert len(asyncio.all_tasks()) == 1


async def test_crashed_probe_counts_as_failed() -> None:
    setup = ProberSetup()
    setup.provider.probe_error = ZeroDivisionError("a bug in a plug-in")
    breaker = setup.open_breaker()

    with capture_logs() as logs:
        await setup.end_sleep()

    assert (setup.counted, breaker.state) == (["INTERNAL_ERROR"], CircuitState.OPEN)
    assert [line["event"] for line in logs] == ["provider.probe_crashed", "provider.probed"]
    await setup.prober.aclose()


async def test_closed_prober_starts_no_more_probes() -> None:
    setup = ProberSetup()
    setup.provider.hangs = True
    setup.open_breaker()
    await setup.end_sleep()

    await setup.prober.aclose()
    setup.open_breaker("b")
    await run_ready_tasks()

    assert setup.prober.active_providers == ()
    assert len(asyncio.all_tasks()) == 1


async def test_generation_probe_requests_the_fewest_tokens_of_each_failing_model() -> None:
    setup = ProberSetup("generation")
    setup.models["b"] = Model("claude", "b", min_output_tokens=16)
    breakers = [setup.open_breaker(model) for model in "ab"]

    await setup.end_sleep()

    limits = {one.target.model: one.target.sampling.max_output_tokens for one in setup.provider.requests}
    assert limits == {"a": 1, "b": 16}
    assert {breaker.state for breaker in breakers} == {CircuitState.HALF_OPEN}
    assert (setup.provider.probes, setup.provider.closed) == (0, 2)


async def test_generation_probe_half_opens_only_the_model_that_recovered() -> None:
    setup = ProberSetup("generation")
    recovered, failing = setup.open_breaker("recovered"), setup.open_breaker("failing")
    setup.provider.failing_models.add("failing")

    await setup.end_sleep()

    assert (recovered.state, failing.state) == (CircuitState.HALF_OPEN, CircuitState.OPEN)
    assert setup.prober.active_providers == ("claude",)
    await setup.prober.aclose()


async def test_generation_probe_of_an_embedding_model_lists_models() -> None:
    setup = ProberSetup("generation")
    setup.provider.probe_error = None
    setup.models["vectors"] = Model("claude", "vectors", embedding=EmbeddingSpec(8, 8))
    breaker = setup.open_breaker("vectors")

    await setup.end_sleep()

    assert (setup.provider.probes, setup.provider.requests) == (1, [])
    assert breaker.state is CircuitState.HALF_OPEN


@pytest.mark.parametrize(
    ("error", "reachable"),
    [
        (UNREACHABLE, False),
        (errors.ProviderInternalError("500", upstream_status=500), False),
        (errors.ProviderInternalError("501", upstream_status=501), True),
        (errors.ModelNotFound("404: no model list", upstream_status=404), True),
        (errors.ProviderRateLimited("429"), True),
        (errors.ProviderCredentialsInvalid("401"), True),
        (errors.Overloaded("connection pool exhausted"), False),
        (errors.DeadlineExceeded("deadline"), False),
    ],
    ids=lambda value: value.message if isinstance(value, GatewayError) else "",
)
def test_rejected_probe_shows_that_the_provider_is_reachable(error: GatewayError, reachable: bool) -> None:
    assert is_reachable(error) is reachable
