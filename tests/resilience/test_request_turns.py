"""Large requests take turns by caller."""

from __future__ import annotations

import asyncio

from aimanager_server.resilience.request_turns import RequestTurns
from tests.support.clock import FakeClock
from tests.support.event_loop import in_virtual_time


class Requests:
    """Requests whose expensive steps take `seconds` of the event loop. `begun` has the time of each step's begin.

    Virtual time passes only while the event loop is free.
    """

    def __init__(self, seconds: float) -> None:
        self._clock = FakeClock()
        self._turns = RequestTurns(self._clock)
        self._seconds = seconds
        self.begun: list[tuple[str, float]] = []

    async def handle(self, name: str) -> None:
        await self._turns.wait(name[0])
        self.begun.append((name, round(asyncio.get_running_loop().time(), 6)))
        self._clock.advance(self._seconds)

    def start(self, *names: str) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self.handle(name)) for name in names]


@in_virtual_time
async def test_between_two_large_requests_other_calls_have_as_long_as_the_first_took() -> None:
    requests = Requests(seconds=0.2)

    await asyncio.gather(*requests.start("a1", "a2", "a3", "a4"))

    assert requests.begun == [("a1", 0.0), ("a2", 0.2), ("a3", 0.4), ("a4", 0.6)]


@in_virtual_time
async def test_callers_with_large_requests_take_turns() -> None:
    requests = Requests(seconds=0.1)

    await asyncio.gather(*requests.start("a1", "a2", "a3", "a4", "b1", "c1", "b2"))

    assert [name for name, _ in requests.begun] == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


@in_virtual_time
async def test_requests_that_take_little_time_do_not_wait() -> None:
    requests = Requests(seconds=0.001)

    await asyncio.gather(*requests.start(*(f"a{number}" for number in range(50))))

    assert {time for _, time in requests.begun} == {0.0}


@in_virtual_time
async def test_a_request_that_was_cancelled_takes_no_turn() -> None:
    requests = Requests(seconds=0.1)
    tasks = requests.start("a1", "a2", "b1")
    await asyncio.sleep(0.05)

    tasks[1].cancel()
    await asyncio.sleep(0.1)
    await requests.handle("c1")

    assert requests.begun == [("a1", 0.0), ("b1", 0.1), ("c1", 0.2)]
