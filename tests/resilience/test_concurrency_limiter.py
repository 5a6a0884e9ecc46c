"""Places at a gate: never too many, never lost, and handed on in order."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimanager_server.resilience.concurrency_limiter import Gate
from tests.support.calls import settle

FOREVER = 600.0


def gate(most: int = 1, queue_length: int = 8, queue_seconds: float = FOREVER, most_each: int | None = None) -> Gate:
    return Gate(most, queue_length, queue_seconds, most_each)


async def waiting(at: Gate, *names: str) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.create_task(at.wait(name)) for name in names]
    await settle()
    return tasks


def outcomes(tasks: list[asyncio.Task[bool]]) -> list[bool | None]:
    """What each was told, None for those that still wait."""
    return [task.result() if task.done() else None for task in tasks]


async def test_a_free_place_starts_no_task_and_no_timer() -> None:
    at = gate()
    before = asyncio.all_tasks()

    assert at.enter("ann")

    assert (asyncio.all_tasks(), at.in_use, at.waiting) == (before, 1, 0)


async def test_places_are_handed_on_in_order() -> None:
    at = gate(2)
    assert at.enter("ann")
    assert at.enter("ann")
    tasks = await waiting(at, "bob", "cid", "ann")

    at.leave("ann")
    await settle()
    first = outcomes(tasks)
    at.leave("ann")
    await settle()

    assert (first, outcomes(tasks)) == ([True, None, None], [True, True, None])
    assert (at.in_use, at.waiting) == (2, 1)


async def test_a_name_at_its_own_limit_does_not_hold_up_another() -> None:
    at = gate(2, most_each=1)
    assert at.enter("ann")
    tasks = await waiting(at, "ann")

    assert at.enter("bob")
    assert not at.enter("cid")

    at.leave("bob")
    await settle()
    assert outcomes(tasks) == [None]
    assert at.enter("cid")
    at.leave("ann")
    await settle()
    assert outcomes(tasks) == [True]


async def test_a_full_queue_turns_away_at_once() -> None:
    at = gate(queue_length=1)
    assert at.enter("ann")
    tasks = await waiting(at, "bob", "cid")

    assert outcomes(tasks) == [None, False]


async def test_a_gate_without_a_queue_turns_away_at_once() -> None:
    at = gate(queue_length=0)
    assert at.enter()

    assert await at.wait() is False


async def test_one_name_that_fills_the_queue_makes_way_for_another() -> None:
    at = gate(queue_length=4)
    assert at.enter("ann")
    greedy = await waiting(at, *["ann"] * 5)

    modest = await waiting(at, "bob", "bob", "bob")

    assert outcomes(greedy) == [None, None, False, False, False]
    assert outcomes(modest) == [None, None, False]
    assert at.waiting == 4


async def test_nobody_waits_longer_than_the_gate_or_the_call_allows() -> None:
    patient, hurried = gate(queue_seconds=0.01), gate()
    assert patient.enter()
    assert hurried.enter()

    assert await patient.wait() is False
    assert await hurried.wait(seconds=0.01) is False
    assert await hurried.wait(seconds=-1.0) is False
    assert (patient.waiting, hurried.waiting) == (0, 0)


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    at = gate()
    assert at.enter()
    tasks = await waiting(at, "ann", "bob")

    tasks[0].cancel()
    at.leave()
    await settle()

    assert (tasks[0].cancelled(), tasks[1].result()) == (True, True)
    assert (at.in_use, at.waiting) == (1, 0)


async def test_a_place_that_came_in_the_moment_of_a_cancellation_goes_on() -> None:
    at = gate()
    assert at.enter()
    tasks = await waiting(at, "ann", "bob")

    at.leave()
    tasks[0].cancel()
    await settle()

    assert (tasks[0].cancelled(), tasks[1].result()) == (True, True)
    assert (at.in_use, at.waiting) == (1, 0)


async def test_closing_turns_away_those_who_wait_and_all_who_come() -> None:
    at = gate()
    assert at.enter()
    tasks = await waiting(at, "ann", "bob")

    at.close()
    await settle()
    at.leave()

    assert outcomes(tasks) == [False, False]
    assert not at.enter()
    assert await at.wait() is False


MOST, MOST_EACH, QUEUE = 3, 2, 4
NAMES = st.sampled_from(["ann", "bob", "cid"])
STEPS = st.one_of(
    st.tuples(st.just("come"), NAMES, st.sampled_from([FOREVER, 0.001])),
    st.tuples(st.just("leave"), st.integers(0, 9), st.just(0.0)),
    st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0.0)),
    st.tuples(st.just("turn"), st.just(0), st.sampled_from([0.0, 0.0, 0.0015])),
)


class Crowd:
    """Callers that come, wait, give up and leave; it counts the places that they hold."""

    def __init__(self) -> None:
        self.gate = gate(MOST, QUEUE, most_each=MOST_EACH)
        self.inside: dict[asyncio.Task[None], str] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self._go: dict[asyncio.Task[None], asyncio.Event] = {}

    def come(self, name: str, seconds: float) -> None:
        go = asyncio.Event()
        task = asyncio.create_task(self._visit(name, seconds, go))
        self._go[task] = go
        self.tasks.append(task)

    def leave(self, index: int) -> None:
        if self.inside:
            self._go[list(self.inside)[index % len(self.inside)]].set()

    def cancel(self, index: int) -> None:
        if self.tasks:
            self.tasks[index % len(self.tasks)].cancel()

    def check(self) -> None:
        held = Counter(self.inside.values())
        assert len(self.inside) <= self.gate.in_use <= MOST
        assert max(held.values(), default=0) <= MOST_EACH
        assert self.gate.waiting <= QUEUE

    async def disperse(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _visit(self, name: str, seconds: float, go: asyncio.Event) -> None:
        if not self.gate.enter(name) and not await self.gate.wait(name, seconds):
            return
        task = asyncio.current_task()
        assert task is not None
        self.inside[task] = name
        try:
            await go.wait()
        finally:
            del self.inside[task]
            self.gate.leave(name)


async def play(steps: list[tuple[str, str | int, float]]) -> None:
    crowd = Crowd()
    for step, which, seconds in steps:
        match step, which:
            case "come", str(name):
                crowd.come(name, seconds)
            case "leave", int(index):
                crowd.leave(index)
            case "cancel", int(index):
                crowd.cancel(index)
            case _:
                await asyncio.sleep(seconds)
        crowd.check()
    await settle()
    assert len(crowd.inside) == crowd.gate.in_use
    await crowd.disperse()
    assert (crowd.gate.in_use, crowd.gate.waiting) == (0, 0)
    assert all(crowd.gate.enter(name) for name in ("ann", "bob", "cid"))


@given(st.lists(STEPS, max_size=40))
def test_places_are_neither_lost_nor_given_twice(steps: list[tuple[str, str | int, float]]) -> None:
    asyncio.run(play(steps))


@pytest.mark.parametrize("most_each", [None, 1])
async def test_whoever_can_enter_does_not_wait(most_each: int | None) -> None:
    at = gate(2, most_each=most_each)
    assert at.enter("ann")
    assert at.enter("bob")
    tasks = await waiting(at, "ann", "ann", "bob")

    at.leave("ann")
    at.leave("bob")
    await settle()

    assert outcomes(tasks) == ([True, True, None] if most_each is None else [True, None, True])
