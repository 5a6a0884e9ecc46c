"""Threads of a worker pool: bounded, shared fairly by callers, and never those of the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from aimanager_server.resilience.worker_pool import WorkerPool
from tests.support.event_loop import run_ready_tasks
from tests.support.eventually import eventually


class Gate:
    """Functions that record their name and wait until the gate opens."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self._opened = threading.Semaphore(0)

    def pass_through(self, name: str) -> Callable[[], str]:
        def work() -> str:
            self.entered.append(name)
            self._opened.acquire()
            return name

        return work

    def open(self, count: int = 1) -> None:
        self._opened.release(count)


def count_threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


@pytest_asyncio.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.open(1000)


async def start(pool: WorkerPool, gate: Gate, *names: str) -> list[asyncio.Task[str]]:
    """Run one function for each name; its first letter is the caller."""
    tasks = [asyncio.create_task(pool.run(name[0], gate.pass_through(name))) for name in names]
    await run_ready_tasks()
    return tasks


async def test_the_result_and_the_exception_are_those_of_the_function() -> None:
    pool = WorkerPool("test", 1, 1)

    assert await pool.run("ann", lambda: threading.current_thread().name) == "test"
    with pytest.raises(ZeroDivisionError):
        await pool.run("ann", lambda: 1 // 0)


async def test_a_caller_occupies_at_most_its_share(gate: Gate) -> None:
    pool = WorkerPool("test", 3, 2)

    await start(pool, gate, "a1", "a2", "a3", "b1")

    await eventually(lambda: sorted(gate.entered), ["a1", "a2", "b1"])


async def test_callers_take_turns(gate: Gate) -> None:
    pool = WorkerPool("test", 1, 1)
    tasks = await start(pool, gate, "a1", "a2", "a3", "b1", "c1")

    gate.open(5)
    await asyncio.gather(*tasks)

    assert gate.entered == ["a1", "a2", "b1", "c1", "a3"]


async def test_a_cancelled_call_leaves_the_queue(gate: Gate) -> None:
    pool = WorkerPool("test", 1, 1)
    tasks = await start(pool, gate, "a1", "a2", "a3")

    tasks[1].cancel()
    gate.open(3)
    await asyncio.gather(*tasks, return_exceptions=True)

    assert gate.entered == ["a1", "a3"]
    assert tasks[1].cancelled()


async def test_a_cancelled_function_occupies_its_thread_until_it_returns(gate: Gate) -> None:
    pool = WorkerPool("test", 1, 1)
    tasks = await start(pool, gate, "a1", "b1")
    await eventually(lambda: gate.entered, ["a1"])

    tasks[0].cancel()
    await run_ready_tasks()
    while_running = list(gate.entered)
    gate.open(2)

    assert while_running == ["a1"]
    assert await tasks[1] == "b1"


async def test_threads_are_reused_and_end_when_the_pool_is_closed(gate: Gate) -> None:
    pool = WorkerPool("closing pool", 4, 4)
    gate.open(100)
    for number in range(20):
        await pool.run("ann", gate.pass_through(str(number)))
    count = count_threads("closing pool")

    pool.close()

    assert count == 1
    await eventually(lambda: count_threads("closing pool"), 0)
