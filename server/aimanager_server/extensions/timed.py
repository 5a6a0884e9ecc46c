"""Await third-party code for a limited time, at no cost if it does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class TooLate(Exception):
    """The time is over. Not a TimeoutError, which the awaited code may raise itself."""


async def await_within(seconds: float, work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of `work`. Raises TooLate after `seconds`.

    The first step runs without a timer, which takes ten times as long as a coroutine that does not wait.
    """
    try:
        first = work.send(None)
    except StopIteration as end:
        return end.value
    try:
        async with asyncio.timeout(seconds) as timer:
            return await _Rest(work, first)
    except TimeoutError:
        if timer.expired():
            raise TooLate from None
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
                except BaseException as error:  # such as the cancellation of the task: the coroutine handles it
                    waits_for = self._work.throw(error)
                else:
                    waits_for = self._work.send(sent)
        except StopIteration as end:
            return end.value
