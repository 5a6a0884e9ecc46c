import asyncio
from collections.abc import AsyncIterator

import pytest

from aimanager_server.core.attempts import AttemptUsage
from aimanager_server.core.errors import GatewayError, ProviderInternalError, ProviderOverloaded
from aimanager_server.core.request import Call, Target
from aimanager_server.core.response import Event, ResponseMetadata, ResponseStream
from aimanager_server.core.usage import Usage
from aimanager_server.pipeline.hedging import Hedge, Racing
from aimanager_server.telemetry.metrics import Metrics
from tests.support.calls import TARGET, WHOLE, call, labels
from tests.support.event_loop import in_virtual_time

OTHER = Target("claude", "claude-opus-5-5")
TYPICAL = 2.0


class Providers:
    """Each answers, or fails, after its seconds. Knows when each was asked, and which was called off or closed."""

    def __init__(self, **by_provider: tuple[float, GatewayError | None]) -> None:
        self._by_provider = by_provider
        self.asked: dict[str, float] = {}
        self.called_off: list[str] = []
        self.closed: list[str] = []

    async def __call__(self, call: Call) -> ResponseStream:
        provider = call.target.provider
        self.asked[provider] = asyncio.get_running_loop().time()
        seconds, fault = self._by_provider[provider]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.called_off.append(provider)
            call.usage_ledger.entries.append(AttemptUsage(provider, call.target.model, Usage(7)))
            raise
        if fault is not None:
            raise fault

        async def close() -> None:
            self.closed.append(provider)

        return ResponseStream(ResponseMetadata(call.id, "", provider, call.target.model), events(), close)


async def events() -> AsyncIterator[Event]:
    for event in WHOLE:
        yield event


def hedge(share: float = 1.0, typical: float | None = TYPICAL, metrics: Metrics | None = None) -> Hedge:
    meter = metrics or Metrics(lambda provider, model: True)
    loop = asyncio.get_running_loop()
    return Hedge(Racing(share, least=0.5), lambda provider, model: typical, meter, loop.time)


async def asked(layer: Hedge, providers: Providers) -> ResponseStream:
    question = call(targets=(TARGET, OTHER))
    return await layer(question.with_targets(TARGET), question.with_targets(OTHER), providers)


@in_virtual_time
async def test_a_quick_answer_needs_no_second_target() -> None:
    providers = Providers(mock=(1.0, None))

    reply = await asked(hedge(), providers)

    assert reply.metadata.provider == "mock"
    assert list(providers.asked) == ["mock"]


@in_virtual_time
async def test_a_slow_one_is_overtaken_and_called_off_at_once() -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    reply = await asked(hedge(), providers)

    assert reply.metadata.provider == "claude"
    assert providers.asked == {"mock": 0.0, "claude": TYPICAL}
    assert providers.called_off == ["mock"]
    assert asyncio.get_running_loop().time() == TYPICAL + 1.0


@in_virtual_time
async def test_both_attempts_are_told_and_what_the_loser_took() -> None:
    reply = await asked(hedge(), Providers(mock=(60.0, None), claude=(1.0, None)))

    loser, winner = reply.metadata.attempts
    assert (winner.provider, winner.error_reason) == ("claude", "")
    assert (loser.provider, loser.error_reason, loser.duration, loser.usage) == ("mock", "CANCELLED", 3.0, Usage(7))


@in_virtual_time
async def test_the_first_may_still_win() -> None:
    providers = Providers(mock=(3.0, None), claude=(5.0, None))

    reply = await asked(hedge(), providers)

    assert reply.metadata.provider == "mock"
    assert providers.called_off == ["claude"]


@in_virtual_time
async def test_a_fault_before_the_delay_is_left_to_the_usual_way() -> None:
    providers = Providers(mock=(1.0, ProviderInternalError("down")), claude=(1.0, None))

    with pytest.raises(ProviderInternalError) as raised:
        await asked(hedge(), providers)

    assert raised.value.attempts == ()
    assert list(providers.asked) == ["mock"]


@in_virtual_time
async def test_a_fault_during_the_race_leaves_it_to_the_other() -> None:
    failed = ProviderInternalError("down")
    failed.usage = Usage(7)

    reply = await asked(hedge(), Providers(mock=(3.0, failed), claude=(5.0, None)))

    assert [(one.provider, one.error_reason) for one in reply.metadata.attempts] == [
        ("mock", "PROVIDER_ERROR"),
        ("claude", ""),
    ]
    assert reply.metadata.attempts[0].usage == Usage(7)


@in_virtual_time
async def test_where_both_fail_the_first_fault_is_told_with_both_attempts() -> None:
    providers = Providers(mock=(9.0, ProviderInternalError("down")), claude=(1.0, ProviderOverloaded("busy")))

    with pytest.raises(ProviderInternalError) as raised:
        await asked(hedge(), providers)

    assert sorted(one.provider for one in raised.value.attempts) == ["claude", "mock"]


@in_virtual_time
async def test_no_more_than_its_share_of_the_calls_is_asked_twice() -> None:
    metrics = Metrics(lambda provider, model: True)
    layer = hedge(share=0.1, metrics=metrics)

    for _ in range(100):
        await asked(layer, Providers(mock=(60.0, None), claude=(1.0, None)))

    assert labels(metrics.registry, "aimanager_hedges_total", provider="mock", model="mock-large") == 10


@in_virtual_time
async def test_its_share_holds_when_many_wait_for_the_same_slow_target() -> None:
    metrics = Metrics(lambda provider, model: True)
    layer = hedge(share=0.05, metrics=metrics)

    await asyncio.gather(*(asked(layer, Providers(mock=(9.0, None), claude=(1.0, None))) for _ in range(100)))

    assert labels(metrics.registry, "aimanager_hedges_total", provider="mock", model="mock-large") <= 5


@in_virtual_time
async def test_an_answer_whose_call_is_cancelled_while_the_other_lets_go_is_closed() -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    async def reluctant(call: Call) -> ResponseStream:
        try:
            return await providers(call)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            raise

    question = call(targets=(TARGET, OTHER))
    asking = asyncio.ensure_future(hedge()(question.with_targets(TARGET), question.with_targets(OTHER), reluctant))
    await asyncio.sleep(TYPICAL + 1.5)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(5)

    assert providers.closed == ["claude"]


@pytest.mark.parametrize("turns", range(25))
@in_virtual_time
async def test_an_answer_is_closed_or_handed_out_whenever_the_call_is_cancelled(turns: int) -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))
    asking = asyncio.ensure_future(asked(hedge(), providers))
    await asyncio.sleep(TYPICAL + 1.0)
    for _ in range(turns):
        await asyncio.sleep(0)

    asking.cancel()
    outcome = (await asyncio.gather(asking, return_exceptions=True))[0]
    await asyncio.sleep(5)

    assert isinstance(outcome, ResponseStream) or providers.closed == ["claude"] or "claude" in providers.called_off


@in_virtual_time
async def test_an_answer_and_a_fault_at_the_same_moment_are_both_told() -> None:
    providers = Providers(mock=(3.0, ProviderInternalError("down")), claude=(1.0, None))

    reply = await asked(hedge(), providers)

    assert [(one.provider, one.error_reason) for one in reply.metadata.attempts] == [
        ("mock", "PROVIDER_ERROR"),
        ("claude", ""),
    ]


@in_virtual_time
async def test_without_knowing_what_is_typical_nobody_is_asked_twice() -> None:
    providers = Providers(mock=(60.0, None), claude=(1.0, None))

    reply = await asked(hedge(typical=None), providers)

    assert reply.metadata.provider == "mock"
    assert list(providers.asked) == ["mock"]


@in_virtual_time
async def test_a_cancelled_call_calls_both_off() -> None:
    providers = Providers(mock=(60.0, None), claude=(60.0, None))
    asking = asyncio.ensure_future(asked(hedge(), providers))
    await asyncio.sleep(10)

    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert sorted(providers.called_off) == ["claude", "mock"]


@in_virtual_time
async def test_an_answer_that_comes_at_the_same_moment_and_too_late_is_closed() -> None:
    providers = Providers(mock=(3.0, None), claude=(1.0, None))

    await asked(hedge(), providers)

    assert providers.closed + providers.called_off == ["claude"]
