"""Deadlines of calls: the caller's own or the server's limit, whichever is earlier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..core.errors import DeadlineExceeded
from ..core.handler import Clock
from .context import Rpc

RESPONSE_MARGIN_SECONDS = 0.5
RESPONSE_MARGIN_RATIO = 0.1
"""Part of a timeout reserved for the response to reach the caller; the smaller of the two applies."""


def deadline_after(seconds: float, clock: Clock) -> float:
    """Return the time on `clock` at which work must end for its response to arrive within `seconds`."""
    return clock() + seconds - min(RESPONSE_MARGIN_SECONDS, seconds * RESPONSE_MARGIN_RATIO)


@asynccontextmanager
async def enforce_deadline(rpc: Rpc, max_seconds: float, clock: Clock) -> AsyncIterator[float]:
    """Cancel the block when its time is up; yield its deadline on `clock`. Raises DeadlineExceeded.

    The limit is the caller's remaining time, at most `max_seconds`. It also bounds writes to a caller that does not
    read, which the pipeline's deadline does not cover.
    """
    remaining: float | None = rpc.context.time_remaining()
    seconds = max_seconds if remaining is None else min(remaining, max_seconds)
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            yield deadline_after(seconds, clock)
    except TimeoutError:
        if not timeout.expired():
            raise
        raise DeadlineExceeded(f"Deadline exceeded: the call did not finish within {seconds:g} s.") from None
