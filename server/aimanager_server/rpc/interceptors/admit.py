"""Keeps the number of calls under way within what the process can serve, and empties it for a shutdown."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from ...errors import Overloaded
from ..rpc import Guard, Proceed, Rpc

COME_AGAIN_SECONDS = 1.0


class Admit(Guard):
    """Turns calls away above `most` at once, above `most_per_caller` of one caller, and once `closed`.

    A caller without a name shares its count with all others without one.
    """

    def __init__(self, most: int, most_per_caller: int) -> None:
        self._most = most
        self._most_per_caller = most_per_caller
        self._in_flight = 0
        self._by_caller: Counter[str] = Counter()
        self._under_way: dict[Rpc, asyncio.Task[Any] | None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.closed = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Count the call while it is under way, or raise Overloaded."""
        name = rpc.caller.name
        self._refuse_above(name)
        self._in_flight += 1
        self._under_way[rpc] = asyncio.current_task()
        self._by_caller[name] += 1
        self._empty.clear()
        try:
            return await proceed(rpc, request)
        finally:
            self._under_way.pop(rpc, None)
            self._leave(name)

    def close(self) -> None:
        """Take no more calls; watchers of `closed` end theirs."""
        self.closed.set()

    def cut(self) -> None:
        """End every call under way; each is told that the server is shutting down."""
        for rpc, task in self._under_way.items():
            if task is not None:
                rpc.is_cut = True
                task.cancel()

    async def emptied(self) -> None:
        """Return once no call is under way."""
        await self._empty.wait()

    def _refuse_above(self, name: str) -> None:
        if self.closed.is_set():
            raise Overloaded("The server is shutting down.", retry_after=COME_AGAIN_SECONDS)
        if self._in_flight >= self._most:
            raise Overloaded(f"The server has {self._most} calls under way.", retry_after=COME_AGAIN_SECONDS)
        if self._by_caller[name] >= self._most_per_caller:
            raise Overloaded(
                f"This caller has {self._most_per_caller} calls under way.", retry_after=COME_AGAIN_SECONDS
            )

    def _leave(self, name: str) -> None:
        self._in_flight -= 1
        self._by_caller[name] -= 1
        if not self._by_caller[name]:
            del self._by_caller[name]
        if not self._in_flight:
            self._empty.set()
