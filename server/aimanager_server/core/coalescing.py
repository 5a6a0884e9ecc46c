"""Runs an operation at most once per key and interval, for all callers together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from .handler import Clock

Result = TypeVar("Result")


class Coalescer(Generic[Result]):
    """Return the result of the operation of a key; one that began less than `seconds` ago is awaited, not repeated.

    A caller that is cancelled does not cancel the operation for the others. Results are kept, one for each key, so keys
    must be few and not chosen by callers. The operation must not raise.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._operations: dict[str, tuple[float, asyncio.Task[Result]]] = {}

    async def run(self, key: str, operation: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run the operation, or return the result of the latest one."""
        latest, now = self._operations.get(key), self._clock()
        if latest is None or latest[1].cancelled() or (latest[1].done() and now - latest[0] >= self._seconds):
            latest = self._operations[key] = (now, asyncio.ensure_future(operation()))
        return await asyncio.shield(latest[1])
