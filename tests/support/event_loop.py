"""An event loop whose clock jumps to the next timer when there is nothing else to do: tests of time take none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import ParamSpec

Given = ParamSpec("Given")


class _Leaping(selectors.DefaultSelector):
    """Never blocks: what the loop would have waited is added to its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds cost nothing on it. Sockets work, but what comes through them takes no time of its own."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._leaping.passed


def in_virtual_time(test: Callable[Given, Coroutine[None, None, None]]) -> Callable[Given, None]:
    """Runs an async test on such a loop, from second 0."""

    @wraps(test)
    def run(*given: Given.args, **named: Given.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*given, **named))

    return run
