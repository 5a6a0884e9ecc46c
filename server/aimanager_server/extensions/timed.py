"""Await third-party code for a limited time, at no cost if it does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class TooLate(Exception):
    """The time is over. Not a TimeoutError, which the awaited code may raise itself."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"took longer than {seconds:g} s")


class Exited(Exception):
    """The code raised GeneratorExit itself, which looks as if its caller had been closed. The cause is that one."""

    def __init__(self) -> None:
        super().__init__("failed with GeneratorExit")


def resumed(resume: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a step of the code returns. Raises Exited."""
    try:
        return resume(*arguments)
    except GeneratorExit as error:
        raise Exited from error


async def await_within(seconds: float, work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of `work`. Raises TooLate after `seconds`, and Exited.

    The first step runs without a timer, which takes ten times as long as a coroutine that does not wait.
    """
    try:
        first = resumed(work.send, None)
    except StopIteration as end:
        return end.value
    try:
        async with asyncio.timeout(seconds) as timer:
            return await _Rest(work, first)
    except TimeoutError:
        if timer.expired():
            raise TooLate(seconds) from None
        raise


class _Rest:
    """The rest of a coroutine whose first step has run and waits for `first`."""

    __slots__ = ("_first", "_work")

    def __init__(self, work: Coroutine[Any, Any, Any], first: object) -> None:
        self._work = work
        self._first = first

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._first
        try:
            while True:
                try:
                    sent = yield waits_for
                except GeneratorExit:  # the caller is closed
                    self._work.close()
                    raise
                except BaseException as error:  # such as the cancellation of the task: the coroutine handles it
                    waits_for = resumed(self._work.throw, error)
                else:
                    waits_for = resumed(self._work.send, sent)
        except StopIteration as end:
            return end.value
