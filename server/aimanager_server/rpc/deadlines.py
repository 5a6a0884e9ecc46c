"""How long a call may take: its caller's deadline or ours, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..core.errors import DeadlineExceeded
from ..core.handler import Clock
from .context import Rpc

KEPT_BACK_SECONDS = 0.5
KEPT_BACK_SHARE = 0.1
"""Of a deadline, kept for the way back to the caller: whichever of the two is less."""


def deadline_in(seconds: float, clock: Clock) -> float:
    """The moment by which a call of so many seconds has to be done, for its answer to arrive in time."""
    return clock() + seconds - min(KEPT_BACK_SECONDS, seconds * KEPT_BACK_SHARE)


@asynccontextmanager
async def allowance(rpc: Rpc, longest: float, clock: Clock) -> AsyncIterator[float]:
    """The deadline of what is done inside, on `clock`; `longest` is in seconds. Raises DeadlineExceeded.

    Bounds also what no deadline of the pipeline can: a caller that does not read.
    """
    remaining: float | None = rpc.context.time_remaining()
    seconds = longest if remaining is None else min(remaining, longest)
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield deadline_in(seconds, clock)
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"The call was not done within {seconds:g} seconds.") from None
