"""Deadlines of calls: the caller's own or the server's limit, whichever is earlier."""

from __future__ import annotations

import asyncio
from types import TracebackType

from ..core.errors import DeadlineExceeded
from ..core.handler import Clock
from .context import Rpc

RESPONSE_MARGIN_SECONDS = 0.5
RESPONSE_MARGIN_RATIO = 0.1
"""Part of a timeout reserved for the response to reach the caller; the smaller of the two applies."""


def deadline_after(seconds: float, clock: Clock) -> float:
    """Return the time on `clock` at which work must end for its response to arrive within `seconds`."""
    return clock() + seconds - min(RESPONSE_MARGIN_SECONDS, seconds * RESPONSE_MARGIN_RATIO)


class CallDeadline:
    """Limit the time of a block; used as a context manager, which returns the block's deadline on `clock`.

    The limit is the caller's remaining time, at most `max_seconds`. It also bounds writes to a caller that does not
    read, which the pipeline's deadline does not cover. Raises DeadlineExceeded.
    """

    __slots__ = ("_clock", "_seconds", "_timeout")

    def __init__(self, rpc: Rpc, max_seconds: float, clock: Clock) -> None:
        remaining: float | None = rpc.context.time_remaining()
        # gRPC itself cancels a call at its caller's deadline, so it needs no timer here.
        is_callers = remaining is not None and remaining <= max_seconds
        self._timeout = None if is_callers else asyncio.timeout(max_seconds)
        self._seconds = max_seconds if remaining is None else min(remaining, max_seconds)
        self._clock = clock

    async def __aenter__(self) -> float:
        if self._timeout is not None:
            await self._timeout.__aenter__()
        return deadline_after(self._seconds, self._clock)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timeout is None:
            return
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            message = f"Deadline exceeded: the call did not finish within {self._seconds:g} s."
            raise DeadlineExceeded(message) from None
