"""Equal calls at the same time share one response: each at its own pace, with its own deadline and cancellation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, ProviderOverloaded
from aimanager_server.core.request import StreamTimeouts
from aimanager_server.core.response import (
    CacheStatus,
    Event,
    Finished,
    FinishReason,
    ResponseMetadata,
    Restarted,
    SettingWarning,
    TextDelta,
)
from aimanager_server.core.stream import Completed
from aimanager_server.core.usage import Cost, Usage, UsageSource
from tests.support.calls import TARGET, ended_record
from tests.support.coalescing import COST, END, Caller, Coalesced, delta
from tests.support.event_loop import in_virtual_time, run_ready_tasks
from tests.support.streams import Observer, outcomes
from tests.support.upstream import USAGE

NOTHING = Cost(0, 0, estimated=False)


@in_virtual_time
async def test_equal_calls_share_one_response_which_the_first_pays() -> None:
    coalesced = Coalesced()
    first, second = coalesced.start(call_id="first"), coalesced.start(call_id="second", requested_model="alias")
    coalesced.upstream.send(delta(), END)

    paid, shared = await first.result(), await second.result()

    assert (len(coalesced.upstream.calls), coalesced.joined) == (1, 1)
    assert paid.message == shared.message
    assert (paid.metadata.id, paid.metadata.cache_status, paid.finished.cost, paid.metadata.saved_cost) == (
        "first", CacheStatus.MISS, COST, None
    )  # fmt: skip
    assert (shared.metadata.id, shared.metadata.requested_model) == ("second", "alias")
    assert (shared.metadata.cache_status, shared.metadata.saved_cost) == (CacheStatus.COALESCED, COST)
    assert (shared.finished.usage, shared.finished.cost) == (Usage(source=UsageSource.REPORTED), NOTHING)
    assert (len(paid.metadata.attempts), len(shared.metadata.attempts)) == (1, 0)
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_unknown_price_saves_an_unknown_cost() -> None:
    coalesced = Coalesced()
    first, second = coalesced.start(), coalesced.start()
    coalesced.upstream.send(delta(), [Finished(FinishReason.STOP, "stop", USAGE)])

    await first.result()
    shared = await second.result()

    assert (shared.finished.cost, shared.metadata.saved_cost) == (NOTHING, None)


@in_virtual_time
async def test_late_caller_reads_from_the_start() -> None:
    coalesced = Coalesced()
    first = coalesced.start()
    coalesced.upstream.send(delta("Hel"), delta("lo."))
    assert await first.read() + await first.read() == delta("Hel") + delta("lo.")

    late = coalesced.start()
    coalesced.upstream.send(END)

    assert await late.text() == "Hello."
    assert await first.text() == ""
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_after_the_end_a_call_is_made_again() -> None:
    coalesced = Coalesced()
    slow = coalesced.start()
    coalesced.upstream.send(delta(), END)
    await slow.task
    await run_ready_tasks()

    coalesced.upstream.send(delta(), END)
    again = await coalesced.start().result()

    assert again.metadata.cache_status is CacheStatus.MISS
    assert await slow.text() == "Hello."
    await coalesced.assert_nothing_left()


@pytest.mark.parametrize(
    "difference",
    [
        {"key": "other"},
        {"streaming": False},
        {"restart_on_interruption": True},
        {"targets": (replace(TARGET, timeouts=StreamTimeouts(first_token=1.0, is_explicit=True)),)},
        {"deadline": 10_000.0},
    ],
    ids=lambda difference: next(iter(difference)),
)
@in_virtual_time
async def test_different_calls_are_not_shared(difference: dict[str, Any]) -> None:
    coalesced = Coalesced()
    one, other = coalesced.start(), coalesced.start(**difference)
    await run_ready_tasks()

    assert (len(coalesced.upstream.calls), coalesced.joined) == (2, 0)
    for caller in (one, other):
        await caller.leave()
    await coalesced.assert_nothing_left()


async def begin(coalesced: Coalesced, caller: Caller, phase: str) -> None:
    """Bring a call to a phase: not begun, waiting for the first content, waiting for more, or complete and not read."""
    if phase == "not begun":
        return
    if phase == "streaming":
        coalesced.upstream.send(delta())
        assert await caller.read() == delta()
    if phase == "unread":
        coalesced.upstream.send(delta(), END)
        await caller.task
    await run_ready_tasks()


PHASES = ("not begun", "first content", "streaming", "unread")


@pytest.mark.parametrize("phase", PHASES)
@in_virtual_time
async def test_cancelled_first_caller_affects_no_other(phase: str) -> None:
    coalesced = Coalesced()
    first, second = coalesced.start(), coalesced.start()
    await begin(coalesced, first, phase)
    text = second.in_background()
    await run_ready_tasks()

    await first.leave()
    coalesced.upstream.send(*([delta()] if phase in PHASES[:2] else []), END)

    assert await text == "Hello."
    assert coalesced.upstream.cancelled == 0
    await coalesced.assert_nothing_left()


@pytest.mark.parametrize("phase", PHASES[:3])
@in_virtual_time
async def test_call_is_cancelled_once_the_last_caller_has_left(phase: str) -> None:
    coalesced = Coalesced()
    callers = [coalesced.start() for _ in range(3)]
    await begin(coalesced, callers[0], phase)

    for caller in callers:
        assert coalesced.upstream.cancelled == 0
        await caller.leave()

    assert coalesced.upstream.cancelled == 1
    assert coalesced.upstream.closed == (phase == "streaming")
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_caller_that_leaves_last_waits_until_the_call_has_ended() -> None:
    coalesced = Coalesced()
    caller = coalesced.start()
    coalesced.upstream.send(delta())
    stream = await caller.task

    await stream.aclose()

    assert coalesced.upstream.closed == 1


@pytest.mark.parametrize("phase", PHASES[1:3])
@in_virtual_time
async def test_deadline_of_the_first_caller_fails_no_other(phase: str) -> None:
    coalesced = Coalesced()
    first, second = coalesced.start(deadline=10.0), coalesced.start(deadline=60.0)
    await begin(coalesced, first, phase)
    text = second.in_background()

    with pytest.raises(DeadlineExceeded):
        await first.read()
    assert asyncio.get_running_loop().time() == pytest.approx(10.0, abs=0.1)
    coalesced.upstream.send(*([delta()] if phase == "first content" else []), END)

    assert await text == "Hello."
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_each_caller_keeps_its_deadline() -> None:
    coalesced = Coalesced()
    ended: list[tuple[float, str]] = []

    async def read(caller: Caller) -> None:
        with pytest.raises(DeadlineExceeded) as raised:
            await caller.result()
        ended.append((round(asyncio.get_running_loop().time()), raised.value.provider))

    await asyncio.gather(*(read(coalesced.start(deadline=deadline)) for deadline in (30.0, 10.0, 20.0)))

    assert ended == [(10, "mock"), (20, "mock"), (30, "mock")]
    assert coalesced.upstream.cancelled == 1
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_retries_are_decided_by_the_latest_deadline() -> None:
    coalesced = Coalesced()
    first = coalesced.start(deadline=10.0)
    await run_ready_tasks()
    call = coalesced.upstream.calls[0]
    alone = call.remaining_seconds(1.0)

    second = coalesced.start(deadline=60.0)
    await run_ready_tasks()

    assert (alone, call.remaining_seconds(1.0)) == (9.0, 59.0)
    await second.leave()
    assert call.remaining_seconds(1.0) == 9.0
    await first.leave()
    await coalesced.assert_nothing_left()


@pytest.mark.parametrize("phase", ["first content", "streaming"])
@in_virtual_time
async def test_failure_reaches_all_callers_and_none_repeats_the_call(phase: str) -> None:
    coalesced = Coalesced()
    callers = [coalesced.start() for _ in range(50)]
    await begin(coalesced, callers[0], phase)
    record = ended_record("mock", "mock-large", "PROVIDER_OVERLOADED")
    coalesced.upstream.send(ProviderOverloaded("Full.", usage=USAGE, cost=COST, attempts=(record,), retry_after=3.0))

    results = await asyncio.gather(*(caller.result() for caller in callers), return_exceptions=True)

    errors = [result for result in results if isinstance(result, ProviderOverloaded)]
    assert {(type(error), str(error), error.retry_after) for error in errors} == {(ProviderOverloaded, "Full.", 3.0)}
    assert len({id(error) for error in errors}) == 50
    assert (errors[0].usage, errors[0].cost, errors[0].attempts) == (USAGE, COST, (record,))
    assert {(error.usage, error.cost, error.attempts) for error in errors[1:]} == {(None, None, ())}
    assert len(coalesced.upstream.calls) == 1
    del results, errors
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_unexpected_error_reaches_all_callers() -> None:
    coalesced = Coalesced()
    callers = [coalesced.start() for _ in range(2)]
    coalesced.upstream.send(delta(), ValueError("a bug"))

    for caller in callers:
        with pytest.raises(RuntimeError, match="shared call failed") as raised:
            await caller.text()
        assert isinstance(raised.value.__cause__, ValueError)
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_a_task_that_others_cancel_fails_its_callers() -> None:
    coalesced = Coalesced()
    caller = coalesced.start()
    await run_ready_tasks()
    task = next(task for task in asyncio.all_tasks() if "_read_all" in repr(task))

    task.cancel()

    with pytest.raises(RuntimeError):
        await caller.read()
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_restarted_stream_restarts_for_each_caller() -> None:
    coalesced = Coalesced()
    first, second = coalesced.start(call_id="first"), coalesced.start(call_id="second")
    warning = SettingWarning("seed", "The fallback has none.")
    metadata = ResponseMetadata("first", "mock/latest", "mock", "other", warnings=(warning,))
    coalesced.upstream.send(delta("lost"), [Restarted(metadata), TextDelta(0, "Hello.")], END)

    events = [[*await caller.read(), *await caller.read()] for caller in (first, second)]
    paid, shared = await first.result(), await second.result()

    of_first, of_second = events[0][1], events[1][1]
    assert isinstance(of_first, Restarted)
    assert isinstance(of_second, Restarted)
    assert (of_first.metadata.id, of_second.metadata.id) == ("first", "second")
    assert of_second.metadata.cache_status is CacheStatus.COALESCED
    assert of_second.metadata.saved_cost == COST  # known now
    assert of_first.metadata is not metadata  # layers of this caller may change it
    assert of_second.metadata.warnings == (warning,)
    assert (paid.message.parts, shared.message.parts) == ((Text("Hello."),), (Text("Hello."),))


@in_virtual_time
async def test_warnings_are_those_of_the_callers_own_options() -> None:
    coalesced = Coalesced()
    clamped, dropped = SettingWarning("sampling.temperature", "Clamped."), SettingWarning("sampling.seed", "Dropped.")
    first = coalesced.start(targets=(replace(TARGET, warnings=(clamped,)),))
    second = coalesced.start(targets=(replace(TARGET, warnings=(dropped,)),))
    coalesced.upstream.send(delta(), END)

    assert (await first.result()).metadata.warnings == (clamped,)
    assert (await second.result()).metadata.warnings == (dropped,)


@in_virtual_time
async def test_observers_and_finalizers_of_each_caller_work() -> None:
    coalesced = Coalesced()
    callers = [coalesced.start() for _ in range(2)]
    coalesced.upstream.send(delta(), END)
    logs: list[list[tuple[str, object]]] = [[], []]
    committed: list[Event] = []

    async def commit(events: list[Event]) -> None:
        committed.extend(events)
        assert isinstance(events[-1], Finished)
        events[-1] = replace(events[-1], structured_json="{}")  # changes nobody else's events

    for caller, log in zip(callers, logs, strict=True):
        (await caller.task).observed_by(Observer(log)).finalized_by(commit)
    results = [await caller.result() for caller in callers]

    assert [result.finished.structured_json for result in results] == ["{}", "{}"]
    assert [event.structured_json for event in committed if isinstance(event, Finished)] == ["", ""]
    assert [len(outcomes(log)) for log in logs] == [1, 1]
    assert all(isinstance(outcomes(log)[0], Completed) for log in logs)
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_usage_so_far_is_that_of_the_caller_that_pays() -> None:
    coalesced = Coalesced()
    first, second = coalesced.start(), coalesced.start()
    coalesced.upstream.send(delta(), END)

    assert [(await caller.task).usage_so_far() for caller in (first, second)] == [USAGE, None]
    assert [list((await caller.task).buffered) for caller in (first, second)] in ([[], []], [delta(), delta()])
    for caller in (first, second):
        await caller.result()


@pytest.mark.parametrize("is_restarted", [False, True])
@in_virtual_time
async def test_each_caller_receives_the_warnings_that_arise_until_the_end(is_restarted: bool) -> None:
    coalesced, early, late = Coalesced(), SettingWarning("a", "early"), SettingWarning("b", "late")
    callers = [coalesced.start(call_id=name).task for name in ("first", "second")]
    coalesced.upstream.send(delta("lost"))
    results = [asyncio.create_task((await caller).result()) for caller in callers]
    metadata = coalesced.upstream.metadata
    assert metadata is not None
    if is_restarted:
        metadata = replace(metadata)
        coalesced.upstream.send([Restarted(metadata), TextDelta(0, "Hello.")])
    metadata.warnings = (early,) if is_restarted else ()
    await run_ready_tasks()

    metadata.warnings = (*metadata.warnings, late)
    coalesced.upstream.send(END)

    expected = (early, late) if is_restarted else (late,)
    assert [result.metadata.warnings for result in await asyncio.gather(*results)] == [expected] * 2
