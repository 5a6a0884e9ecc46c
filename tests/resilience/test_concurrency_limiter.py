"""Permits of a concurrency limiter: never above the limit, never lost, and granted in order of arrival."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.resilience.concurrency_limiter import ConcurrencyLimiter
from tests.support.event_loop import VirtualTimeLoop, in_virtual_time, run_ready_tasks

FOREVER = 600.0


def concurrency_limiter(
    limit: int = 1,
    max_queue_length: int = 8,
    queue_timeout_seconds: float = FOREVER,
    limit_per_caller: int | None = None,
) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(limit, max_queue_length, queue_timeout_seconds, limit_per_caller)


async def queue(limiter: ConcurrencyLimiter, *callers: str) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.create_task(limiter.wait_for_permit(caller)) for caller in callers]
    await run_ready_tasks()
    return tasks


def outcomes(tasks: list[asyncio.Task[bool]]) -> list[bool | None]:
    """Return whether each call got a permit, None if it is still queued."""
    return [task.result() if task.done() else None for task in tasks]


async def test_free_permit_is_acquired_without_task_or_timer() -> None:
    limiter = concurrency_limiter()
    before = asyncio.all_tasks()

    assert limiter.try_acquire("ann")

    assert (asyncio.all_tasks(), limiter.in_flight, limiter.queued) == (before, 1, 0)


async def test_permits_are_granted_in_order_of_arrival() -> None:
    limiter = concurrency_limiter(2)
    assert limiter.try_acquire("ann")
    assert limiter.try_acquire("ann")
    tasks = await queue(limiter, "bob", "cid", "ann")

    limiter.release("ann")
    await run_ready_tasks()
    first = outcomes(tasks)
    limiter.release("ann")
    await run_ready_tasks()

    assert (first, outcomes(tasks)) == ([True, None, None], [True, True, None])
    assert (limiter.in_flight, limiter.queued) == (2, 1)


async def test_caller_at_its_limit_does_not_block_other_callers() -> None:
    limiter = concurrency_limiter(2, limit_per_caller=1)
    assert limiter.try_acquire("ann")
    tasks = await queue(limiter, "ann")

    assert limiter.try_acquire("bob")
    assert not limiter.try_acquire("cid")

    limiter.release("bob")
    await run_ready_tasks()
    assert outcomes(tasks) == [None]
    assert limiter.try_acquire("cid")
    limiter.release("ann")
    await run_ready_tasks()
    assert outcomes(tasks) == [True]


@pytest.mark.parametrize("limit_per_caller", [None, 1])
async def test_queued_call_gets_the_first_permit_that_fits(limit_per_caller: int | None) -> None:
    limiter = concurrency_limiter(2, limit_per_caller=limit_per_caller)
    assert limiter.try_acquire("ann")
    assert limiter.try_acquire("bob")
    tasks = await queue(limiter, "ann", "ann", "bob")

    limiter.release("ann")
    limiter.release("bob")
    await run_ready_tasks()

    assert outcomes(tasks) == ([True, True, None] if limit_per_caller is None else [True, None, True])


async def test_full_queue_rejects_immediately() -> None:
    limiter = concurrency_limiter(max_queue_length=1)
    assert limiter.try_acquire("ann")

    tasks = await queue(limiter, "bob", "cid")

    assert outcomes(tasks) == [None, False]


async def test_limiter_without_a_queue_rejects_immediately() -> None:
    limiter = concurrency_limiter(max_queue_length=0)
    assert limiter.try_acquire()

    assert await limiter.wait_for_permit() is False


async def test_busiest_caller_loses_its_last_queue_position_to_another_caller() -> None:
    limiter = concurrency_limiter(max_queue_length=4)
    assert limiter.try_acquire("ann")
    busiest = await queue(limiter, *["ann"] * 5)

    others = await queue(limiter, "bob", "bob", "bob")

    assert outcomes(busiest) == [None, None, False, False, False]
    assert outcomes(others) == [None, None, False]
    assert limiter.queued == 4


@in_virtual_time
async def test_wait_ends_at_the_shorter_of_queue_timeout_and_own_limit() -> None:
    short_queue, long_queue = concurrency_limiter(queue_timeout_seconds=1.0), concurrency_limiter()
    assert short_queue.try_acquire()
    assert long_queue.try_acquire()

    assert await short_queue.wait_for_permit() is False
    assert await long_queue.wait_for_permit(seconds=1.0) is False
    assert await long_queue.wait_for_permit(seconds=-1.0) is False

    assert asyncio.get_running_loop().time() == pytest.approx(2.0)
    assert (short_queue.queued, long_queue.queued) == (0, 0)


async def test_cancelled_call_leaves_the_queue() -> None:
    limiter = concurrency_limiter()
    assert limiter.try_acquire()
    tasks = await queue(limiter, "ann", "bob")

    tasks[0].cancel()
    limiter.release()
    await run_ready_tasks()

    assert (tasks[0].cancelled(), tasks[1].result()) == (True, True)
    assert (limiter.in_flight, limiter.queued) == (1, 0)


async def test_permit_granted_to_a_call_being_cancelled_goes_to_the_next() -> None:
    limiter = concurrency_limiter()
    assert limiter.try_acquire()
    tasks = await queue(limiter, "ann", "bob")

    limiter.release()
    tasks[0].cancel()
    await run_ready_tasks()

    assert (tasks[0].cancelled(), tasks[1].result()) == (True, True)
    assert (limiter.in_flight, limiter.queued) == (1, 0)


async def test_closed_limiter_rejects_queued_and_new_calls() -> None:
    limiter = concurrency_limiter()
    assert limiter.try_acquire()
    tasks = await queue(limiter, "ann", "bob")

    limiter.close()
    await run_ready_tasks()
    limiter.release()

    assert outcomes(tasks) == [False, False]
    assert not limiter.try_acquire()
    assert await limiter.wait_for_permit() is False


LIMIT, LIMIT_PER_CALLER, QUEUE = 3, 2, 4
CALLERS = st.sampled_from(["ann", "bob", "cid"])
STEPS = st.one_of(
    st.tuples(st.just("arrive"), CALLERS, st.sampled_from([FOREVER, 1.0])),
    st.tuples(st.just("leave"), st.integers(0, 9), st.just(0.0)),
    st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0.0)),
    st.tuples(st.just("advance"), st.just(0), st.sampled_from([0.0, 0.0, 1.5])),
)


class Traffic:
    """Calls that arrive, wait, are cancelled and leave. Tracks the permits they hold."""

    def __init__(self) -> None:
        self.limiter = concurrency_limiter(LIMIT, QUEUE, limit_per_caller=LIMIT_PER_CALLER)
        self.admitted: dict[asyncio.Task[None], str] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self._done: dict[asyncio.Task[None], asyncio.Event] = {}

    def arrive(self, caller: str, seconds: float) -> None:
        done = asyncio.Event()
        task = asyncio.create_task(self._call(caller, seconds, done))
        self._done[task] = done
        self.tasks.append(task)

    def leave(self, index: int) -> None:
        if self.admitted:
            self._done[list(self.admitted)[index % len(self.admitted)]].set()

    def cancel(self, index: int) -> None:
        if self.tasks:
            self.tasks[index % len(self.tasks)].cancel()

    def check_limits(self) -> None:
        held = Counter(self.admitted.values())
        assert len(self.admitted) <= self.limiter.in_flight <= LIMIT
        assert max(held.values(), default=0) <= LIMIT_PER_CALLER
        assert self.limiter.queued <= QUEUE

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _call(self, caller: str, seconds: float, done: asyncio.Event) -> None:
        if not self.limiter.try_acquire(caller) and not await self.limiter.wait_for_permit(caller, seconds):
            return
        task = asyncio.current_task()
        assert task is not None
        self.admitted[task] = caller
        try:
            await done.wait()
        finally:
            del self.admitted[task]
            self.limiter.release(caller)


async def run(steps: list[tuple[str, str | int, float]]) -> None:
    traffic = Traffic()
    for step, which, seconds in steps:
        match step, which:
            case "arrive", str(caller):
                traffic.arrive(caller, seconds)
            case "leave", int(index):
                traffic.leave(index)
            case "cancel", int(index):
                traffic.cancel(index)
            case _:
                await asyncio.sleep(seconds)
        traffic.check_limits()
    await run_ready_tasks()
    assert len(traffic.admitted) == traffic.limiter.in_flight
    await traffic.stop()
    assert (traffic.limiter.in_flight, traffic.limiter.queued) == (0, 0)
    assert all(traffic.limiter.try_acquire(caller) for caller in ("ann", "bob", "cid"))


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_permits_are_neither_lost_nor_granted_twice(steps: list[tuple[str, str | int, float]]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run(steps))
