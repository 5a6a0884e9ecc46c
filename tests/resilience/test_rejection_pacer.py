"""Rejections of a burst are spread over time."""

from __future__ import annotations

import asyncio
from itertools import groupby

import pytest

from aimanager_server.resilience.rejection_pacer import BATCH, MAX_WAITING, MIN_PAUSE_SECONDS, RejectionPacer
from tests.support.clock import FakeClock
from tests.support.event_loop import in_virtual_time, run_ready_tasks


class Rejections:
    """Rejects calls, each of which takes `seconds` of the event loop. `sent` has the time and the number of each.

    Virtual time passes only while the event loop is free.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._clock = FakeClock()
        self._pacer = RejectionPacer(self._clock)
        self._seconds = seconds
        self.sent: list[tuple[float, int]] = []

    async def reject(self, number: int) -> None:
        await self._pacer.wait()
        self._clock.advance(self._seconds)
        self.sent.append((asyncio.get_running_loop().time(), number))

    def start(self, calls: int) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self.reject(number)) for number in range(calls)]


@in_virtual_time
async def test_occasional_rejections_never_wait() -> None:
    rejections, loop = Rejections(), asyncio.get_running_loop()

    for number in range(20):
        before = loop.time()
        await rejections.reject(number)
        assert loop.time() == before
        await asyncio.sleep(MIN_PAUSE_SECONDS)


@in_virtual_time
async def test_a_burst_is_rejected_in_small_parts_and_in_order() -> None:
    rejections = Rejections(seconds=0.0003)
    await asyncio.gather(*rejections.start(1000))

    parts = [len(list(part)) for _, part in groupby(rejections.sent, key=lambda entry: entry[0])]

    assert [number for _, number in rejections.sent] == list(range(1000))
    assert parts == [BATCH] * 250


@in_virtual_time
async def test_other_calls_have_as_long_as_the_rejections_before_them_took() -> None:
    rejections = Rejections(seconds=0.002)
    await asyncio.gather(*rejections.start(3 * BATCH))

    assert [time for time, _ in rejections.sent[::BATCH]] == pytest.approx([0, 0.002 * BATCH, 0.004 * BATCH])


@in_virtual_time
async def test_beyond_the_limit_of_waiting_calls_rejections_are_sent_at_once() -> None:
    rejections = Rejections()
    tasks = rejections.start(BATCH + MAX_WAITING + 10)

    await run_ready_tasks(1)

    assert len(rejections.sent) == BATCH + 10
    await asyncio.gather(*tasks)


@in_virtual_time
async def test_a_call_that_was_cancelled_takes_no_turn() -> None:
    rejections = Rejections()
    tasks = rejections.start(4 * BATCH)
    await run_ready_tasks(1)

    for task in tasks[BATCH : 3 * BATCH]:
        task.cancel()
    await asyncio.sleep(MIN_PAUSE_SECONDS * 1.5)

    assert [number for _, number in rejections.sent] == [*range(BATCH), *range(3 * BATCH, 4 * BATCH)]
