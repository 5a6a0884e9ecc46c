"""What the guard keeps apart by key, how it waits as advised, and what it books of the quality."""

from __future__ import annotations

import math

import pytest

from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey, Call
from aimanager_server.core.response import TextDelta
from aimanager_server.pipeline.circuit_breaker import Guard
from aimanager_server.resilience.breaker_registry import Breakers, Rules
from aimanager_server.telemetry.model_stats import Quality
from aimanager_server.telemetry.provider_stats import Circuit, Vitals
from tests.support.calls import TARGET, USAGE, WHOLE, FakeClock, Upstream, call

PLACE = (TARGET.provider, TARGET.model)
OWN = call(key=ApiKey(CALLER_KEY_ID, "secret"))


def by_key(key_id: str) -> Call:
    return call(key=ApiKey(key_id, "secret"))


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers(Rules(), self.clock)
        self.vitals = Vitals(self.clock, self.clock)
        self.quality = Quality(self.clock)
        self.guard = Guard(self.breakers, self.vitals, self.clock, self.quality)

    async def fail(self, question: Call, fault: GatewayError, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(type(fault)):
                await self.guard(question, Upstream(fault))

    async def answers(self, question: Call) -> bool:
        upstream = Upstream()
        await (await self.guard(question, upstream)).result()
        return len(upstream.calls) == 1


async def test_a_model_that_fails_with_one_key_is_asked_with_another() -> None:
    world = World()
    await world.fail(by_key("1"), errors.ProviderInternalError("down"), times=5)

    with pytest.raises(errors.CircuitOpen):
        await world.guard(by_key("1"), Upstream())

    assert await world.answers(by_key("2"))


@pytest.mark.parametrize(
    "fault",
    [errors.ProviderCredentialsInvalid("no"), errors.ProviderQuotaExhausted("spent")],
    ids=lambda one: one.reason,
)
async def test_a_refused_key_is_left_alone_for_all_models_and_no_other_key_is(fault: GatewayError) -> None:
    world = World()

    await world.fail(by_key("1"), fault)

    small = call(key=ApiKey("1"), targets=(TARGET.__class__("mock", "mock-small"),))
    with pytest.raises(errors.CircuitOpen, match="refused the key") as refused:
        await world.guard(small, Upstream())
    assert refused.value.retry_after == 300.0
    assert await world.answers(by_key("2"))


async def test_refusals_of_calls_that_were_already_under_way_do_not_prolong_the_pause() -> None:
    world = World()
    first = await world.guard(by_key("1"), Upstream((TextDelta(0, "Hel"), errors.ProviderCredentialsInvalid("no"))))
    await world.fail(by_key("1"), errors.ProviderCredentialsInvalid("no"))
    world.clock.advance(100)

    with pytest.raises(errors.ProviderCredentialsInvalid):
        await first.result()

    assert world.breakers.of("mock", "", "1").admit() == 200.0


async def test_callers_own_keys_share_a_circuit_apart_from_the_servers() -> None:
    world = World()
    await world.fail(OWN, errors.ProviderInternalError("down"), times=5)

    with pytest.raises(errors.CircuitOpen):
        await world.guard(OWN, Upstream())

    assert await world.answers(by_key("1"))


@pytest.mark.parametrize(
    "fault",
    [
        errors.ProviderCredentialsInvalid("no"),
        errors.ProviderQuotaExhausted("spent"),
        errors.CallerKeyRejected("no"),
        errors.ProviderRateLimited("slow", retry_after=30.0),
    ],
    ids=lambda fault: fault.reason,
)
async def test_a_callers_refused_or_limited_key_stops_nobody(fault: GatewayError) -> None:
    world = World()

    await world.fail(OWN, fault, times=6)

    assert await world.answers(OWN)
    assert await world.answers(by_key("1"))
    assert world.vitals.pulse("mock").error_rate() == 0.0


async def test_advice_to_wait_is_heeded_without_asking_and_opens_nothing() -> None:
    world = World()
    await world.fail(by_key("1"), errors.ProviderRateLimited("slow", retry_after=30.0))
    world.clock.advance(10)
    upstream = Upstream()

    with pytest.raises(errors.ProviderRateLimited, match="asked to wait") as waits:
        await world.guard(by_key("1"), upstream)

    assert (upstream.calls, waits.value.retry_after) == ([], 20.0)
    assert world.breakers.of(*PLACE, "1").circuit is Circuit.CLOSED
    assert await world.answers(by_key("2"))
    world.clock.advance(20)
    assert await world.answers(by_key("1"))


@pytest.mark.parametrize("advice", [None, 0.0, math.inf])
async def test_advice_that_names_no_time_holds_nobody(advice: float | None) -> None:
    world = World()

    await world.fail(by_key("1"), errors.ProviderRateLimited("slow", retry_after=advice))

    assert await world.answers(by_key("1"))


async def test_an_answer_is_booked_with_its_times_and_tokens() -> None:
    world = World()
    reply = await world.guard(call(streaming=True), Upstream(WHOLE))
    assert world.quality.in_flight(*PLACE) == 1

    world.clock.advance(2)
    await reply.result()

    figures = world.quality.rows()[0]
    assert (figures.samples, figures.answered, figures.latency_p50, figures.first_token_p50) == (1, 1, 2.0, 0.0)
    assert figures.tokens_per_second == USAGE.output_tokens / 2
    assert world.quality.in_flight(*PLACE) == 0


async def test_an_answer_that_did_not_stream_has_no_first_token() -> None:
    world = World()

    await world.answers(by_key("1"))

    assert world.quality.rows()[0].first_token_p50 is None


@pytest.mark.parametrize(
    ("fault", "samples"),
    [(errors.ProviderInternalError("down"), 1), (errors.ProviderRejectedRequest("odd"), 0)],
    ids=["its", "ours"],
)
async def test_only_the_providers_own_faults_lower_its_quality(fault: GatewayError, samples: int) -> None:
    world = World()

    await world.fail(by_key("1"), fault)

    assert sum(row.samples for row in world.quality.rows()) == samples
    assert world.quality.in_flight(*PLACE) == 0


async def test_what_is_refused_here_or_given_up_is_no_sample() -> None:
    world = World()
    world.breakers.of(*PLACE, "1").open(10)
    with pytest.raises(errors.CircuitOpen):
        await world.guard(by_key("1"), Upstream())
    reply = await world.guard(by_key("2"), Upstream())

    await reply.aclose()

    assert sum(row.samples for row in world.quality.rows()) == 0
    assert world.quality.in_flight(*PLACE) == 0
