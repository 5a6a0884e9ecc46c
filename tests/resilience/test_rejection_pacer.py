"""Rejections of a burst are spread over time."""

from __future__ import annotations

import asyncio
from itertools import groupby

from aimanager_server.resilience.rejection_pacer import (
    BACKLOG_INTERVALS,
    BATCH,
    INTERVAL_SECONDS,
    MAX_WAITING,
    RejectionPacer,
)
from tests.support.event_loop import in_virtual_time, run_ready_tasks


class Rejections:
    """Rejects calls and notes when each was let through."""

    def __init__(self) -> None:
        self._pacer = RejectionPacer()
        self.sent: list[tuple[float, int]] = []

    async def reject(self, number: int) -> None:
        await self._pacer.wait()
        self.sent.append((asyncio.get_running_loop().time(), number))

    def start(self, calls: int) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self.reject(number)) for number in range(calls)]


@in_virtual_time
async def test_occasional_rejections_never_wait() -> None:
    rejections, loop = Rejections(), asyncio.get_running_loop()
    for number in range(20):
        await rejections.reject(number)
        await asyncio.sleep(INTERVAL_SECONDS / BATCH * 2)

    assert loop.time() - rejections.sent[-1][0] <= INTERVAL_SECONDS
    assert [round(time / (INTERVAL_SECONDS / BATCH * 2)) for time, _ in rejections.sent] == list(range(20))


@in_virtual_time
async def test_a_burst_is_rejected_in_small_parts_and_in_order() -> None:
    rejections = Rejections()
    await asyncio.gather(*rejections.start(2000))

    parts = [len(list(part)) for _, part in groupby(rejections.sent, key=lambda entry: entry[0])]

    assert [number for _, number in rejections.sent] == list(range(2000))
    assert parts[0] == BATCH
    assert max(parts) <= BATCH + 2000 // BACKLOG_INTERVALS
    assert rejections.sent[-1][0] < 1.0


@in_virtual_time
async def test_beyond_the_limit_of_waiting_calls_rejections_are_sent_at_once() -> None:
    rejections = Rejections()
    tasks = rejections.start(BATCH + MAX_WAITING + 10)

    await run_ready_tasks()

    assert len(rejections.sent) == BATCH + 10
    await asyncio.gather(*tasks)


@in_virtual_time
async def test_a_call_that_was_cancelled_takes_no_turn() -> None:
    rejections = Rejections()
    tasks = rejections.start(4 * BATCH)
    await run_ready_tasks()

    for task in tasks[BATCH : 3 * BATCH]:
        task.cancel()
    await asyncio.sleep(INTERVAL_SECONDS * 1.5)

    assert [number for _, number in rejections.sent] == [*range(BATCH), *range(3 * BATCH, 4 * BATCH)]
