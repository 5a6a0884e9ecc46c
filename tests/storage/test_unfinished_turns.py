"""Work that outlives its call is bounded, and the next call of the conversation waits for it."""

from __future__ import annotations

import asyncio

from aimanager_server.core.errors import StorageUnavailable
from aimanager_server.storage.unfinished_turns import MAX_UNFINISHED, UnfinishedTurns


async def test_the_next_call_waits_for_what_is_left_to_do() -> None:
    unfinished, done = UnfinishedTurns(), asyncio.Event()

    async def work() -> None:
        await done.wait()

    unfinished.finish("conv_1", work())
    waiting = asyncio.ensure_future(unfinished.wait_for("conv_1"))
    await unfinished.wait_for("conv_2")
    await asyncio.sleep(0)
    assert not waiting.done()

    done.set()
    await waiting
    await unfinished.aclose()
    assert unfinished.entries == 0


async def test_failures_and_what_takes_too_long_end() -> None:
    unfinished = UnfinishedTurns(timeout_seconds=0.01)

    async def fail() -> None:
        raise StorageUnavailable("no database")

    unfinished.finish("conv_1", fail())
    unfinished.finish("conv_2", asyncio.Event().wait())
    await unfinished.aclose()

    assert unfinished.entries == 0


async def test_a_bounded_number_is_kept() -> None:
    unfinished = UnfinishedTurns(timeout_seconds=0.01)
    for number in range(MAX_UNFINISHED + 5):
        unfinished.finish(f"conv_{number}", asyncio.Event().wait())

    assert unfinished.entries == MAX_UNFINISHED
    await unfinished.aclose()
