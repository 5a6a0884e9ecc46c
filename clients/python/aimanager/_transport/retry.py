"""Decides how long a call may still take, and whether a rate limit is waited for and the call sent once more."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import AIError, RateLimitError

Answer = TypeVar("Answer")

OWN_LIMIT = "RATE_LIMITED"
LOST = ("UNAVAILABLE", "OVERLOADED")
FIRST_BACKOFF_SECONDS = 0.5


class Patience:
    """The deadline of one call. What the gateway's own limit refused is sent again here, once: what a provider's limit
    refused the gateway has tried again already. Lost calls are sent again by the service config, but for streams: those
    are so here, as long as nothing of them was read, at most `lost` times.
    """

    def __init__(
        self, seconds: float, *, resends: bool, lost: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._resends = resends
        self._lost = lost
        self._backoff = FIRST_BACKOFF_SECONDS
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

    def pause_after_loss(self, failure: AIError) -> float:
        """Seconds to wait before a stream is sent again that did not begin. Raises the failure if it is not to be."""
        pause = self._backoff * random.uniform(0.8, 1.2) if failure.retry_after is None else failure.retry_after
        if failure.reason not in LOST or not self._lost or pause >= self.remaining:
            raise failure
        self._lost -= 1
        self._backoff *= 2
        return pause


def patiently(patience: Patience, send: Callable[[], Answer]) -> Answer:
    """What `send` returns; what may pass before the deadline is waited for, as the patience says."""
    while True:
        try:
            return send()
        except RateLimitError as refusal:
            pause = patience.pause(refusal)
        except AIError as failure:
            pause = patience.pause_after_loss(failure)
        time.sleep(pause)


async def patiently_async(patience: Patience, send: Callable[[], Awaitable[Answer]]) -> Answer:
    """As `patiently`, without blocking the loop."""
    while True:
        try:
            return await send()
        except RateLimitError as refusal:
            pause = patience.pause(refusal)
        except AIError as failure:
            pause = patience.pause_after_loss(failure)
        await asyncio.sleep(pause)
