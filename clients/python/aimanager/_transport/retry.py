"""Decide whether a failed call is retried within its deadline, and run the retries."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

from .._convert.operation import Operation
from ..config import DEFAULT_MAX_WAIT
from ..errors import AIError, RateLimitError
from ..types.usage import Attempt
from .endpoint import Endpoint

Returned = TypeVar("Returned")

log = logging.getLogger("aimanager")

GATEWAY_RATE_LIMIT = "RATE_LIMITED"
UNAVAILABLE_REASONS = ("UNAVAILABLE", "OVERLOADED")
INITIAL_BACKOFF = 0.1  # seconds; with three retries a refused connection fails within a second


class RetryState:
    """The deadline and the remaining retries of one call.

    The gateway's own rate limit is retried at most once, if it ends within `max_wait` seconds; `waited` then has the
    rejected attempt. A provider's rate limit never is: the gateway has retried it
    already. An unavailable gateway is retried here for streams only, until their first message; the service config
    retries other calls. The deadline starts with the first look at `remaining`, as a stream may be read late.
    """

    def __init__(
        self,
        timeout: float | None,
        *,
        rate_limit_retries: int = 0,
        unavailable_retries: int = 0,
        max_wait: float = DEFAULT_MAX_WAIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = timeout
        self._rate_limit_retries = rate_limit_retries
        self._unavailable_retries = unavailable_retries
        self._max_wait = max_wait
        self._backoff = INITIAL_BACKOFF
        self.waited: tuple[Attempt, ...] = ()
        self._clock = clock
        self._deadline: float | None = None

    @classmethod
    def of(cls, operation: Operation[Any, Any, Any], endpoint: Endpoint) -> Self:
        """Return the state of a new call on a client of this endpoint."""
        retries = endpoint.retries
        return cls(
            operation.timeout,
            rate_limit_retries=min(retries, 1) if operation.retries_rate_limit else 0,
            unavailable_retries=retries if operation.retries_unavailable else 0,
            max_wait=endpoint.max_wait,
        )

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None without a deadline."""
        if self._timeout is None:
            return None
        if self._deadline is None:
            self._deadline = self._clock() + self._timeout
        return max(0.0, self._deadline - self._clock())

    def delay_before_retry(self, error: AIError) -> float:
        """Return the seconds to wait before the call is sent again. Raises the error if it is not retried.

        Logs the wait. The error that ends a call lists the rejected attempts too.
        """
        delay = self._rate_limit_delay(error) if isinstance(error, RateLimitError) else self._unavailable_delay(error)
        if delay is None or not self._fits(delay):
            error.attempts = self.waited + error.attempts
            raise error from None
        if isinstance(error, RateLimitError):
            self._rate_limit_retries -= 1
            self.waited += (Attempt(error.provider, error.model, error.reason, duration=delay),)
        else:
            self._unavailable_retries -= 1
            self._backoff *= 2
        log.warning("%s: %s Retrying in %.1f s.", error.reason, error, delay)
        return delay

    def _rate_limit_delay(self, error: RateLimitError) -> float | None:
        delay = error.retry_after
        if delay is None or error.reason != GATEWAY_RATE_LIMIT or not self._rate_limit_retries:
            return None
        return delay if delay <= self._max_wait else None

    def _unavailable_delay(self, error: AIError) -> float | None:
        if error.reason not in UNAVAILABLE_REASONS or not self._unavailable_retries:
            return None
        return self._backoff * random.uniform(0.8, 1.2) if error.retry_after is None else error.retry_after

    def _fits(self, delay: float) -> bool:
        return self.remaining is None or delay < self.remaining


def retry_call(state: RetryState, send: Callable[[], Returned]) -> Returned:
    """Return what `send` returns, calling it again as often as `state` permits."""
    while True:
        try:
            return send()
        except AIError as error:
            delay = state.delay_before_retry(error)
        time.sleep(delay)


async def retry_call_async(state: RetryState, send: Callable[[], Awaitable[Returned]]) -> Returned:
    """As `retry_call`, for asyncio."""
    while True:
        try:
            return await send()
        except AIError as error:
            delay = state.delay_before_retry(error)
        await asyncio.sleep(delay)
