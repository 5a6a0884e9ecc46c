"""How late the event loop is."""

from __future__ import annotations

import asyncio
import time

from aimanager_server.resilience.load_shedding import LoopLag
from tests.support.calls import FakeClock


def test_a_loop_that_is_not_watched_is_on_time() -> None:
    lag = LoopLag(FakeClock(), limit=0.5)

    assert (lag.seconds(), lag.is_late()) == (0.0, False)


async def test_a_loop_that_stands_still_is_late_while_it_does() -> None:
    clock = FakeClock()
    lag = LoopLag(clock, limit=0.5, interval=0.1)
    lag.start()

    clock.advance(0.55)
    before = (round(lag.seconds(), 6), lag.is_late())
    clock.advance(0.1)

    assert before == (0.45, False)
    assert (round(lag.seconds(), 6), lag.is_late()) == (0.55, True)
    lag.stop()
    assert lag.seconds() == 0.0


async def test_a_delay_is_remembered_for_a_moment_and_then_forgotten() -> None:
    lag = LoopLag(time.monotonic, limit=0.3, interval=0.02)
    lag.start()

    time.sleep(0.4)  # noqa: ASYNC251  # holding up the loop is the point
    await asyncio.sleep(0)
    late = lag.is_late()
    await asyncio.sleep(0.1)

    assert late
    assert not lag.is_late()
    lag.stop()
