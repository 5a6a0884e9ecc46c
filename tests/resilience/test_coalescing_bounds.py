"""The memory of shared responses is bounded, whatever their callers do."""

from __future__ import annotations

import asyncio
import gc

import pytest

from aimanager_server.core.errors import StreamInterrupted
from aimanager_server.resilience.event_log import LogLimits
from tests.support.coalescing import END, Coalesced, delta
from tests.support.event_loop import in_virtual_time, run_ready_tasks

SMALL = LogLimits(total=100_000, of_one=20_000, in_any_case=2_000)


@in_virtual_time
async def test_response_beyond_the_bound_is_read_as_fast_as_its_only_caller() -> None:
    coalesced = Coalesced(SMALL)
    caller = coalesced.start()
    coalesced.upstream.send(*[delta("x" * 1000)] * 100, END)
    stream = await caller.task
    await run_ready_tasks(300)
    held, unread = coalesced.coalescer.size, coalesced.upstream.unread
    joined = coalesced.start()
    await run_ready_tasks()

    assert SMALL.of_one <= held < SMALL.of_one + 2000
    assert unread > 80
    assert len(coalesced.upstream.calls) == 2  # too late to share
    await joined.leave()

    async for _ in stream:
        assert coalesced.coalescer.size < SMALL.of_one + 2000
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_caller_that_never_reads_delays_no_other_and_is_disconnected() -> None:
    coalesced = Coalesced(SMALL)
    asleep, awake = coalesced.start(), coalesced.start()
    coalesced.upstream.send(*[delta("x" * 1000)] * 100, END)
    stream = await asleep.task

    assert len(await awake.text()) == 100_000
    assert coalesced.coalescer.size == 0
    with pytest.raises(StreamInterrupted, match="too slowly"):
        await stream.read()
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_slow_callers_slow_the_provider_down_if_nobody_waits() -> None:
    coalesced = Coalesced(SMALL)
    callers = [coalesced.start() for _ in range(3)]
    coalesced.upstream.send(*[delta("x" * 1000)] * 60, END)
    read = [0, 0, 0]
    for _ in range(60):  # each in turn, at the same pace
        for number, caller in enumerate(callers):
            read[number] += len(await caller.read())
        await run_ready_tasks()

    assert read == [60, 60, 60]
    for caller in callers:
        await caller.text()
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_calls_are_not_shared_while_the_memory_is_used_up() -> None:
    coalesced = Coalesced(LogLimits(total=20_000, of_one=1_000_000, in_any_case=2_000))
    full = coalesced.start()
    coalesced.upstream.send(*[delta("x" * 1000)] * 100)
    await full.task
    await run_ready_tasks(300)
    held = coalesced.coalescer.size

    others = [coalesced.start("other") for _ in range(3)]
    await run_ready_tasks()

    assert held < 22_000
    assert coalesced.coalescer.size <= held
    assert (len(coalesced.upstream.calls), coalesced.joined, coalesced.coalescer.entries) == (4, 0, 1)
    for caller in (full, *others):
        await caller.leave()
    await coalesced.assert_nothing_left()


@in_virtual_time
async def test_a_thousand_streams_at_their_own_pace() -> None:
    coalesced = Coalesced()
    callers = [coalesced.start() for _ in range(1000)]
    texts = [caller.in_background() for caller in callers[::2]]  # the others begin late
    coalesced.upstream.send(*[delta("x")] * 50)
    await run_ready_tasks(150)
    for caller in callers[100:200:2]:
        caller.task.cancel()
    coalesced.upstream.send(END)
    await run_ready_tasks()

    late = await asyncio.gather(*(caller.text() for caller in callers[1::2]))
    early = await asyncio.gather(*texts)

    assert {*late, *early} == {"x" * 50}
    assert len(coalesced.upstream.calls) == 1
    gc.collect()
    await coalesced.assert_nothing_left()
