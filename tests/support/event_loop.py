"""Event loops for tests: one in virtual time, and a way to run all ready tasks."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def run_ready_tasks(iterations: int = 10) -> None:
    """Run the event loop until every task that is ready has run and waits again."""
    for _ in range(iterations):
        await asyncio.sleep(0)


class _VirtualTimeSelector(selectors.DefaultSelector):
    """Never blocks; adds the time it would have blocked to `elapsed`."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.elapsed += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer once nothing is ready. Socket I/O takes no virtual time."""

    def __init__(self) -> None:
        self._virtual_selector = _VirtualTimeSelector()
        super().__init__(self._virtual_selector)

    def time(self) -> float:
        """Return the virtual seconds since the loop was created."""
        return self._virtual_selector.elapsed


def in_virtual_time(test: Callable[Parameters, Coroutine[None, None, None]]) -> Callable[Parameters, None]:
    """Run an async test on a `VirtualTimeLoop`, starting at second 0."""

    @wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def longest_step(work: Awaitable[Result]) -> tuple[float, Result]:
    """Await `work`; return the CPU seconds that the event loop needed at most between two of its tasks, and the result.

    CPU time, so that a busy machine does not matter.
    """
    task = asyncio.ensure_future(work)
    longest = 0.0
    while not task.done():
        before = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - before)
    return longest, await task
