import asyncio
from dataclasses import replace

import pytest

from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError, all_errors
from aimanager_server.core.request import Call, Caller, StreamTimeouts
from aimanager_server.core.response import ResponseStream, TextDelta
from aimanager_server.pipeline.circuit_breaker import Guard
from aimanager_server.resilience.breaker_registry import Breakers, Rules
from aimanager_server.telemetry.provider_stats import Circuit, Vitals
from tests.support.calls import TARGET, USAGE, FakeClock, Upstream, call


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers(Rules(), self.clock)
        self.vitals = Vitals(self.clock, self.clock)
        self.guard = Guard(self.breakers, self.vitals, self.clock)

    async def fail(self, fault: GatewayError, times: int = 1, question: Call | None = None) -> None:
        for _ in range(times):
            with pytest.raises(type(fault)):
                await self.guard(question or call(), Upstream(fault))

    @property
    def model(self) -> Circuit:
        return self.breakers.of(TARGET.provider, TARGET.model).circuit

    @property
    def account(self) -> Circuit:
        return self.breakers.of(TARGET.provider).circuit


async def test_an_open_circuit_asks_nobody() -> None:
    world = World()
    await world.fail(errors.ProviderInternalError("down"), times=5)
    upstream = Upstream()

    with pytest.raises(errors.CircuitOpen) as refused:
        await world.guard(call(), upstream)

    assert upstream.calls == []
    assert refused.value.retry_after == 5.0
    assert (refused.value.provider, refused.value.model) == (TARGET.provider, TARGET.model)


async def test_a_trial_that_answers_closes_the_circuit() -> None:
    world = World()
    await world.fail(errors.ProviderInternalError("down"), times=5)
    world.clock.advance(5)

    reply = await world.guard(call(), Upstream())

    assert world.model is Circuit.CLOSED
    await reply.result()
    assert world.vitals.pulse("mock").last_success_at == world.clock.time


async def test_refused_credentials_open_the_account_at_once_for_five_minutes() -> None:
    world = World()

    await world.fail(errors.ProviderCredentialsInvalid("no"))

    assert world.account is Circuit.OPEN
    assert world.breakers.of("mock").admit() == 300.0
    assert world.vitals.pulse("mock").last_error_reason == "PROVIDER_CREDENTIALS_INVALID"


async def test_a_callers_own_key_is_not_stopped_by_the_servers_account() -> None:
    world = World()
    await world.fail(errors.ProviderQuotaExhausted("spent"))

    reply = await world.guard(call(caller=Caller("ann", provider_keys={"mock": "own"})), Upstream())

    assert (await reply.result()).message.parts


def stalled() -> GatewayError:
    fault = errors.StreamInterrupted("cut")
    fault.__cause__ = errors.ProviderTimeout("no content")
    return fault


@pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
async def test_every_fault_moves_the_circuits_just_as_its_row_says(kind: type[GatewayError]) -> None:
    world = World()

    await world.fail(kind("failed"))

    failures = world.breakers.of("mock", TARGET.model).consecutive_failures
    assert failures == (1 if kind.spec.breaker_effect == "count" else 0)
    assert (world.account is Circuit.OPEN) == (kind.spec.breaker_effect == "open")
    speaks_against_it = kind.spec.breaker_effect != "ignore" or kind is errors.ProviderRateLimited
    assert bool(world.vitals.pulse("mock").samples) == speaks_against_it


@pytest.mark.parametrize("ran_out", [errors.FirstTokenTimeout("late"), stalled()])
async def test_who_asked_for_little_patience_pays_for_it_alone(ran_out: GatewayError) -> None:
    world = World()
    impatient = replace(TARGET, timeouts=StreamTimeouts(first_token=0.001, set_by_caller=True))

    for _ in range(10):
        with pytest.raises(type(ran_out)):
            await world.guard(call(targets=(impatient,)), Upstream(ran_out))

    assert world.breakers.of("mock", TARGET.model).consecutive_failures == 0
    assert not world.vitals.pulse("mock").samples


async def test_an_answer_that_is_cut_counts_as_a_failure() -> None:
    world = World()
    lost = errors.StreamInterrupted("cut")
    lost.usage = USAGE
    reply = await world.guard(call(), Upstream((TextDelta(0, "Hel"), lost)))

    with pytest.raises(errors.StreamInterrupted):
        await reply.result()

    assert world.breakers.of("mock", TARGET.model).consecutive_failures == 1


async def test_an_answer_given_up_by_the_caller_counts_as_nothing() -> None:
    world, upstream = World(), Upstream()
    reply = await world.guard(call(), upstream)

    await reply.aclose()

    assert upstream.closed == 1
    assert not world.vitals.pulse("mock").samples


async def test_a_cancelled_trial_leaves_room_for_the_next() -> None:
    world = World()
    await world.fail(errors.ProviderInternalError("down"), times=5)
    world.clock.advance(5)

    async def cancelled(_call: Call) -> ResponseStream:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.guard(call(), cancelled)

    assert world.model is Circuit.HALF_OPEN
    assert await world.guard(call(), Upstream())


async def test_a_refusal_by_the_model_gives_the_accounts_trial_back() -> None:
    world = World()
    await world.fail(errors.ProviderCredentialsInvalid("no"))
    world.clock.advance(300)
    world.breakers.of("mock", TARGET.model).open(600)

    with pytest.raises(errors.CircuitOpen):
        await world.guard(call(), Upstream())

    assert not world.breakers.of("mock").refuses


async def test_a_failed_model_says_nothing_of_the_account() -> None:
    world = World()
    await world.fail(errors.ProviderInternalError("down"), times=5)

    assert world.account is Circuit.CLOSED
    assert (await world.guard(call(targets=(TARGET.__class__("mock", "mock-small"),)), Upstream())).metadata


CALLERS_AND_OURS = (errors.DeadlineExceeded("too late"), errors.Overloaded("full"), errors.ContentBlocked("no"))


@pytest.mark.parametrize("cause", CALLERS_AND_OURS, ids=lambda cause: cause.reason)
async def test_an_answer_that_the_provider_did_not_break_off_says_nothing_of_it(cause: GatewayError) -> None:
    world = World()
    lost = errors.StreamInterrupted("the answer broke off")
    lost.__cause__ = cause
    for _ in range(5):
        reply = await world.guard(call(), Upstream((TextDelta(0, "Hel"), lost)))
        with pytest.raises(errors.StreamInterrupted):
            await reply.result()

    assert world.model is Circuit.CLOSED
    assert not world.vitals.pulse("mock").samples


async def test_an_answer_broken_off_by_a_refused_key_opens_the_account() -> None:
    world = World()
    lost = errors.StreamInterrupted("the answer broke off")
    lost.__cause__ = errors.ProviderQuotaExhausted("spent")
    reply = await world.guard(call(), Upstream((TextDelta(0, "Hel"), lost)))

    with pytest.raises(errors.StreamInterrupted):
        await reply.result()

    assert world.account is Circuit.OPEN


async def test_one_trial_at_a_time_is_let_through() -> None:
    world = World()
    await world.fail(errors.ProviderInternalError("down"), times=5)
    world.clock.advance(5)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(question: Call) -> ResponseStream:
        asked.set()
        await answer.wait()
        return await Upstream()(question)

    trial = asyncio.create_task(world.guard(call(), slow))
    await asked.wait()
    with pytest.raises(errors.CircuitOpen) as refused:
        await world.guard(call(), Upstream())
    answer.set()
    await (await trial).result()

    assert refused.value.retry_after == 1.0
    assert world.model is Circuit.CLOSED


async def test_a_reply_says_what_was_spent_so_far() -> None:
    async def answer(question: Call) -> ResponseStream:
        reply = await Upstream()(question)
        return ResponseStream(reply.metadata, aiter(reply), reply.aclose, lambda: USAGE)

    reply = await World().guard(call(), answer)

    assert reply.usage_so_far() == USAGE


async def test_the_spent_account_of_a_caller_does_not_open_the_servers() -> None:
    world = World()

    await world.fail(
        errors.ProviderQuotaExhausted("spent"), question=call(caller=Caller("ann", provider_keys={"mock": "own"}))
    )

    assert world.account is Circuit.CLOSED
