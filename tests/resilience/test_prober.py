"""Looking in the background whether a provider answers again."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from aimanager_server.catalog.model import EmbeddingFacts, Model
from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import Target
from aimanager_server.pipeline.circuit_breaker import Guard
from aimanager_server.resilience.prober import is_there
from aimanager_server.telemetry.provider_stats import Circuit, Vitals
from tests.support.calls import call, settle
from tests.support.prober import DOWN, World

ASKED = call(targets=(Target("claude", "a"),))


async def test_an_answered_probe_half_opens_every_circuit_that_waits_and_ends_the_looking() -> None:
    world = World()
    breakers = [world.fail("a"), world.fail("b", "2")]
    await world.ring()
    assert (world.provider.probes, {one.circuit for one in breakers}) == (1, {Circuit.OPEN})

    world.provider.fault = None
    await world.ring()

    assert {one.circuit for one in breakers} == {Circuit.HALF_OPEN}
    assert world.prober.probing == ()
    assert world.recorded == ["PROVIDER_UNREACHABLE", ""]
    assert world.counted == ["PROVIDER_UNREACHABLE", "success"]
    assert len(asyncio.all_tasks()) == 1


async def test_a_trial_that_fails_sets_it_looking_again() -> None:
    world = World()
    world.provider.fault = None
    breaker = world.fail()
    await world.ring()
    assert breaker.admit() is None

    breaker.failed(breaker.era, "PROVIDER_ERROR")
    await world.ring()

    assert world.provider.probes == 2
    assert breaker.circuit is Circuit.HALF_OPEN


async def test_every_half_open_lets_one_call_through_until_the_provider_is_back() -> None:
    world = World()
    world.provider.fault = None
    world.provider.failing.add("a")
    guard = Guard(world.breakers, Vitals(world.clock, world.clock), world.clock)
    world.fail("a", "")
    world.provider.calls.clear()

    for _ in range(3):
        await world.ring()
        outcomes = await asyncio.gather(*(guard(ASKED, world.provider) for _ in range(5)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in outcomes) == ["CircuitOpen"] * 4 + ["ProviderOverloaded"]
    world.provider.failing.clear()
    await world.ring()
    await (await guard(ASKED, world.provider)).result()

    assert world.breakers.of("claude", "a").circuit is Circuit.CLOSED
    assert world.prober.probing == ()


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 3.6), (0.5, 4.0), (1.0, 4.4)])
async def test_it_looks_every_four_seconds_with_jitter_and_says_when(chance: float, seconds: float) -> None:
    world = World(chance=chance)
    breaker = world.fail()
    await settle()

    for _ in range(3):
        await world.ring()

    assert world.pauses == [pytest.approx(seconds)] * 4
    assert breaker.admit() == pytest.approx(seconds)
    await world.prober.aclose()


async def test_refused_keys_and_timed_circuits_are_not_looked_after() -> None:
    world = World()
    account = world.breakers.of("claude", "", "1")
    account.refused(account.era, "PROVIDER_CREDENTIALS_INVALID")
    world.breakers.of("openai", "a").open(5)

    await settle()

    assert (world.prober.probing, world.pauses) == ((), [])


async def test_a_probe_that_hangs_is_given_up_and_keeps_no_other_waiting() -> None:
    world = World(limit=0.05)
    world.provider.hangs = True
    breaker = world.fail()
    await world.ring()
    await world.ring()
    assert world.provider.probes == 2

    async with asyncio.timeout(10):
        for _ in range(2):
            await world.told.acquire()

    assert world.recorded == ["PROVIDER_UNREACHABLE"] * 2
    assert breaker.circuit is Circuit.OPEN
    await world.prober.aclose()


async def test_what_hangs_is_called_off_once_another_probe_is_answered() -> None:
    world = World()
    world.provider.hangs = True
    world.fail()
    await world.ring()

    world.provider.hangs, world.provider.fault = False, None
    await world.ring()

    assert world.recorded == [""]
    assert len(asyncio.all_tasks()) == 1


async def test_a_probe_that_breaks_is_a_failed_one() -> None:
    world = World()
    world.provider.fault = ZeroDivisionError("a bug in a plug-in")
    breaker = world.fail()

    with capture_logs() as lines:
        await world.ring()

    assert (world.counted, breaker.circuit) == (["INTERNAL_ERROR"], Circuit.OPEN)
    assert [line["event"] for line in lines] == ["provider.probe_broke", "provider.probed"]
    await world.prober.aclose()


async def test_closing_ends_everything_for_good() -> None:
    world = World()
    world.provider.hangs = True
    world.fail()
    await world.ring()

    await world.prober.aclose()
    world.fail("b")
    await settle()

    assert world.prober.probing == ()
    assert len(asyncio.all_tasks()) == 1


async def test_where_asked_for_each_failing_model_is_asked_for_one_token() -> None:
    world = World("generation")
    world.facts["b"] = Model("claude", "b", least_output=16)
    models = {model: world.fail(model) for model in "ab"}

    await world.ring()

    asked = {one.target.model: one.target.sampling.max_output_tokens for one in world.provider.calls}
    assert asked == {"a": 1, "b": 16}
    assert {one.circuit for one in models.values()} == {Circuit.HALF_OPEN}
    assert (world.provider.probes, world.provider.closed) == (0, 2)


async def test_a_model_that_still_fails_stays_open_while_another_is_tried() -> None:
    world = World("generation")
    answers, fails = world.fail("answers"), world.fail("fails")
    world.provider.failing.add("fails")

    await world.ring()

    assert (answers.circuit, fails.circuit) == (Circuit.HALF_OPEN, Circuit.OPEN)
    assert world.prober.probing == ("claude",)
    await world.prober.aclose()


async def test_a_model_that_makes_vectors_is_looked_after_by_the_list() -> None:
    world = World("generation")
    world.provider.fault = None
    world.facts["vectors"] = Model("claude", "vectors", embedding=EmbeddingFacts(8, 8))
    breaker = world.fail("vectors")

    await world.ring()

    assert (world.provider.probes, world.provider.calls) == (1, [])
    assert breaker.circuit is Circuit.HALF_OPEN


@pytest.mark.parametrize(
    ("fault", "there"),
    [
        (DOWN, False),
        (errors.ProviderInternalError("500", upstream_status=500), False),
        (errors.ProviderInternalError("501", upstream_status=501), True),
        (errors.ModelNotFound("404: a server without a list", upstream_status=404), True),
        (errors.ProviderRateLimited("429"), True),
        (errors.ProviderCredentialsInvalid("401"), True),
        (errors.Overloaded("no connection left"), False),
        (errors.DeadlineExceeded("no time left"), False),
    ],
    ids=lambda value: value.message if isinstance(value, GatewayError) else "",
)
def test_a_refusal_is_an_answer_too(fault: GatewayError, there: bool) -> None:
    assert is_there(fault) is there
