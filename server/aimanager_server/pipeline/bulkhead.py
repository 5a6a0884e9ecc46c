"""Limit the concurrent calls to each provider."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any

from ..config.settings import ProviderSettings, ServerSettings
from ..core.errors import Overloaded
from ..core.handler import AttemptHandler, Clock
from ..core.request import Attempt
from ..core.stream import OnEnd, ResponseStream
from ..resilience.concurrency_limiter import ConcurrencyLimiter

RETRY_AFTER_SECONDS = 1.0


class ProviderConcurrency:
    """Enforce `max_in_flight` of each provider: queue a call for a short time, then reject it.

    A permit is held until the response ends or is closed. Providers without a limit are not restricted. `clock` must be
    the clock of `Call.deadline`.
    """

    def __init__(self, providers: Mapping[str, ProviderSettings], server: ServerSettings, clock: Clock) -> None:
        self._limiters: dict[str, ConcurrencyLimiter] = {}
        self._clock = clock
        self.reconfigure(providers, server)

    @property
    def queued(self) -> int:
        """Number of calls that wait for a permit."""
        return sum(limiter.queued for limiter in self._limiters.values())

    def reconfigure(self, providers: Mapping[str, ProviderSettings], server: ServerSettings) -> None:
        """Change the limits. The calls in flight at a provider still count, unless it had no limit."""
        limiters: dict[str, ConcurrencyLimiter] = {}
        for name, provider in providers.items():
            if provider.max_in_flight is None:
                continue
            limits = (provider.max_in_flight, server.max_queue_length, server.queue_timeout_seconds)
            limiters[name] = self._limiters.get(name) or ConcurrencyLimiter(*limits)
            limiters[name].reconfigure(*limits)
        for name, limiter in self._limiters.items():
            if name not in limiters:
                limiter.reconfigure(sys.maxsize, 0, 0.0)
        self._limiters = limiters

    def __call__(self, attempt: Attempt[Any], proceed: AttemptHandler) -> Awaitable[ResponseStream]:
        """Acquire a permit and proceed. Raises Overloaded if no permit is released in time."""
        limiter = self._limiters.get(attempt.target.provider)
        return proceed(attempt) if limiter is None else self._limit(limiter, attempt, proceed)

    async def _limit(
        self, limiter: ConcurrencyLimiter, attempt: Attempt[Any], proceed: AttemptHandler
    ) -> ResponseStream:
        caller = attempt.caller.name
        if not limiter.try_acquire(caller):
            await self._wait(limiter, attempt)
        release = partial(limiter.release, caller)
        try:
            stream = await proceed(attempt)
        except BaseException:
            release()
            raise
        return stream.observed_by(OnEnd(release))

    async def _wait(self, limiter: ConcurrencyLimiter, attempt: Attempt[Any]) -> None:
        with attempt.upstream_timer.measure():
            acquired = await limiter.wait_for_permit(attempt.caller.name, attempt.deadline - self._clock())
        if not acquired:
            provider, model = attempt.target.key
            raise Overloaded(
                f"Concurrency limit reached for provider {provider!r} ({limiter.limit} calls in flight).",
                solution=f"Retry the call, or raise providers.{provider}.max_in_flight in the server's configuration.",
                provider=provider,
                model=model,
                retry_after=RETRY_AFTER_SECONDS,
            )
