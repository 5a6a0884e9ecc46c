import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog

from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.errors import ProviderInternalError, StreamInterrupted
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream, TextDelta
from aimanager_server.core.usage import Cost
from aimanager_server.pipeline.idempotency import reply_of
from aimanager_server.telemetry.metrics import Metrics
from tests.support.calls import END, USAGE, WHOLE, FakeClock, Upstream, call, labels
from tests.support.layers import booked, observing

WHERE = {"provider": "mock", "model": "mock-large"}


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics(lambda provider, model: model == "mock-large")
        self.observe = observing(self.metrics, self.clock)

    def value(self, name: str, **wanted: str) -> float:
        return labels(self.metrics.registry, name, **wanted)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_whole_answer_is_counted_timed_and_logged(world: World) -> None:
    cost = Cost(2_000_000_000, 500_000_000)
    usage = replace(USAGE, cache_read_tokens=1, cache_write_tokens=1, reasoning_tokens=1)
    upstream = Upstream((*WHOLE[:2], replace(END, cost=cost, usage=usage)))

    with structlog.testing.capture_logs() as logs:
        reply = await world.observe(call(labels={"team": "a"}), booked(upstream, world.metrics))
        world.clock.advance(2)
        completion = await reply.result()

    assert completion.finished.latency == 2
    assert world.value("aimanager_requests_total", **WHERE, method="unary") == 1
    for kind, count in {"input": 3, "output": 2, "cache_read": 1, "cache_write": 1, "reasoning": 1}.items():
        assert world.value("aimanager_tokens_total", **WHERE, kind=kind) == count
    assert world.value("aimanager_cost_usd_total", **WHERE) == 2.5
    assert world.value("aimanager_latency_seconds_sum", **WHERE) == 2
    assert world.value("aimanager_in_flight") == 0
    assert [(log["event"], log["caller"], log["labels"], log["cost_nanos"]) for log in logs] == [
        ("call.finished", "ann", {"team": "a"}, 2_500_000_000)
    ]


async def test_a_call_is_in_flight_until_its_end(world: World) -> None:
    reply = await world.observe(call(), Upstream())

    assert world.value("aimanager_in_flight") == 1
    await reply.result()
    assert world.value("aimanager_in_flight") == 0


async def test_overhead_leaves_out_the_time_spent_waiting(world: World) -> None:
    upstream = Upstream()

    async def waiting(question: Call) -> ResponseStream:
        question.upstream_timer.seconds += 0.75
        world.clock.advance(1)
        return await upstream(question)

    reply = await world.observe(call(), waiting)

    assert world.value("aimanager_overhead_seconds_sum") == 0.25
    assert reply.metadata.time_to_first_token == 1
    await reply.aclose()


async def test_a_fault_is_counted_by_its_reason(world: World) -> None:
    fault = ProviderInternalError("down", upstream_status=500)
    fault.attempts = (AttemptRecord("mock", "mock-large", "PROVIDER_ERROR", 0.1),)

    with structlog.testing.capture_logs() as logs, pytest.raises(ProviderInternalError):
        await world.observe(call(), Upstream(fault))

    assert world.value("aimanager_errors_total", provider="mock", reason="PROVIDER_ERROR") == 1
    assert (logs[0]["event"], logs[0]["attempts"], logs[0]["upstream_status"]) == ("call.failed", 1, 500)


async def test_an_interrupted_answer_counts_its_tokens(world: World) -> None:
    lost = StreamInterrupted("cut")
    lost.usage = USAGE
    reply = await world.observe(call(streaming=True), booked(Upstream((TextDelta(0, "Hel"), lost)), world.metrics))

    with pytest.raises(StreamInterrupted):
        await reply.result()

    assert world.value("aimanager_tokens_total", **WHERE, kind="output") == 2
    assert world.value("aimanager_errors_total", provider="mock", reason="STREAM_INTERRUPTED") == 1
    assert world.value("aimanager_requests_total", **WHERE, method="stream") == 1


@pytest.mark.parametrize(
    ("error", "reason", "event"),
    [(asyncio.CancelledError(), "CANCELLED", "call.cancelled"), (KeyError("bug"), "INTERNAL_ERROR", "call.failed")],
)
async def test_cancels_and_bugs_are_told_apart(world: World, error: BaseException, reason: str, event: str) -> None:
    async def failing(_call: Call) -> ResponseStream:
        raise error

    with structlog.testing.capture_logs() as logs, pytest.raises(type(error)):
        await world.observe(call(), failing)

    assert world.value("aimanager_errors_total", provider="mock", reason=reason) == 1
    assert logs[0]["event"] == event


async def test_a_caller_that_goes_away_is_recorded_once(world: World) -> None:
    upstream = Upstream()
    reply = await world.observe(call(), upstream)

    await reply.aclose()
    await reply.aclose()

    assert world.value("aimanager_errors_total", provider="mock", reason="CANCELLED") == 1
    assert world.value("aimanager_in_flight") == 0
    assert upstream.closed == 2


async def test_a_caller_that_goes_away_within_an_answer_is_recorded_with_what_it_took(world: World) -> None:
    reply = await world.observe(call("x" * 400), booked(Upstream((TextDelta(0, "t" * 40), *WHOLE))))
    events = aiter(reply)
    await anext(events)

    with structlog.testing.capture_logs() as logs:
        await events.aclose()  # type: ignore[attr-defined]  # a generator, as the RPC closes it
        await reply.aclose()

    assert [(log["event"], log["input_tokens"], log["output_tokens"]) for log in logs] == [("call.cancelled", 101, 10)]


async def test_a_call_that_is_given_up_after_its_deadline_is_recorded_as_late(world: World) -> None:
    reply = await world.observe(call(deadline=world.clock.time + 1), Upstream())
    world.clock.advance(2)

    await reply.aclose()

    assert world.value("aimanager_errors_total", provider="mock", reason="DEADLINE_EXCEEDED") == 1


async def test_a_cached_answer_spends_nothing(world: World) -> None:
    kept = await (await Upstream()(call())).result()

    async def again(_call: Call) -> ResponseStream:
        return reply_of(kept)

    completion = await (await world.observe(call(), again)).result()

    assert completion.finished.usage == USAGE
    assert world.value("aimanager_tokens_total", **WHERE, kind="output") == 0


async def test_a_model_nobody_knows_makes_no_series_of_its_own(world: World) -> None:
    target = call().target

    for name in ("invented-1", "invented-2"):
        await (await world.observe(call(targets=(replace(target, model=name),)), Upstream())).result()

    assert world.value("aimanager_requests_total", provider="mock", model="other", method="unary") == 2
    assert world.value("aimanager_requests_total", provider="mock", model="invented-1", method="unary") == 0


async def test_events_after_the_end_change_nothing(world: World) -> None:
    twice: tuple[Any, ...] = (*WHOLE, END)

    await (await world.observe(call(), Upstream(twice))).result()

    assert world.value("aimanager_latency_seconds_count", **WHERE) == 1
