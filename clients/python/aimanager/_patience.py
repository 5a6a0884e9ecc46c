"""Decides how long a call may still take, and whether a rate limit is waited for and the call sent once more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import RateLimitError

Answer = TypeVar("Answer")

OWN_LIMIT = "RATE_LIMITED"


class Patience:
    """The deadline of one call. Service config resends lost calls; what the gateway's own limit refused is resent here,
    once: what a provider's limit refused the gateway has tried again already.
    """

    def __init__(self, seconds: float, *, resends: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._resends = resends
        self._clock = clock
        self._deadline: float | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative. Time runs from the first look: a stream may be read late."""
        if self._deadline is None:
            self._deadline = self._clock() + self._seconds
        return max(0.0, self._deadline - self._clock())

    def pause(self, refusal: RateLimitError) -> float:
        """Seconds to wait before the call is sent again. Raises the refusal if it is not to be sent again."""
        fits = refusal.retry_after is not None and refusal.retry_after < self.remaining
        may_help = fits and self._resends and refusal.reason == OWN_LIMIT
        if refusal.retry_after is None or not may_help:
            raise refusal
        self._resends = False
        return refusal.retry_after


def patiently(patience: Patience, send: Callable[[], Answer]) -> Answer:
    """What `send` returns; a rate limit that passes before the deadline is waited for, once."""
    try:
        return send()
    except RateLimitError as refusal:
        pause = patience.pause(refusal)
    time.sleep(pause)
    return send()


async def patiently_async(patience: Patience, send: Callable[[], Awaitable[Answer]]) -> Answer:
    """As `patiently`, without blocking the loop."""
    try:
        return await send()
    except RateLimitError as refusal:
        pause = patience.pause(refusal)
    await asyncio.sleep(pause)
    return await send()
