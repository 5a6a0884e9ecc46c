"""Send a second request once the first has been outstanding longer than a latency percentile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

from ..config.resilience import HedgingSettings
from ..core.attempts import CANCELLED
from ..core.errors import GatewayError
from ..core.handler import AttemptHandler, Clock
from ..core.request import Attempt
from ..core.stream import ResponseStream
from ..telemetry.metrics import Metrics

COST_OF_A_HEDGE = 1.0 - 1e-9
"""Budget spent by one hedged request; slightly below 1 since sums of ratios such as 0.1 round down."""

LatencyPercentile = Callable[[str, str], float | None]
"""Return the 95th percentile of a model's time to first token in seconds; None with too few samples."""


class Hedging:
    """Hedge slow calls with a second target, for at most `max_ratio` of the calls. The first response wins."""

    def __init__(
        self, settings: HedgingSettings, latency_percentile: LatencyPercentile, metrics: Metrics, clock: Clock
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._latency_percentile = latency_percentile
        self._metrics = metrics
        self._budget = 0.0

    async def __call__(
        self, attempt: Attempt[Any], start_second: Callable[[], Attempt[Any]], proceed: AttemptHandler
    ) -> ResponseStream:
        """Return the response that begins first. If both attempts fail, raise the first one's error."""
        self._budget = min(self._budget + self._settings.max_ratio, 1.0)
        provider, model = attempt.target.key
        percentile = self._latency_percentile(provider, model)
        if percentile is None or self._budget < COST_OF_A_HEDGE:
            return await proceed(attempt)
        delay = max(percentile, self._settings.min_delay_seconds)
        async with _HedgedCall(proceed, self._clock) as hedged:
            hedged.start(attempt)
            # Check the budget again: other calls to the same slow target may have spent it during the delay.
            if not await hedged.is_done_within(delay) and self._budget >= COST_OF_A_HEDGE:
                self._budget -= 1.0
                self._metrics.for_target(provider, model).hedged_requests.inc()
                hedged.start(start_second())
            return await hedged.first_response()


class _HedgedCall:
    """The requests of one hedged call. On exit, cancels them and closes every response that was not returned."""

    def __init__(self, proceed: AttemptHandler, clock: Clock) -> None:
        self._proceed = proceed
        self._clock = clock
        self._attempts: dict[asyncio.Task[ResponseStream], Attempt[Any]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._attempts:
            return  # do not await: a cancellation here would lose the response that is being returned
        # Shielded, since a response that nobody closes would hold its concurrency permit forever.
        await asyncio.shield(asyncio.ensure_future(_cancel_and_close(list(self._attempts))))

    def start(self, attempt: Attempt[Any]) -> None:
        """Start a request."""

        async def run() -> ResponseStream:
            try:
                return await self._proceed(attempt)
            except BaseException as error:
                # The retry loop ends the record of the attempt that it started; this may be another one.
                reason = error.reason if isinstance(error, GatewayError) else CANCELLED
                attempt.record.end(self._clock(), reason)
                raise

        self._attempts[asyncio.create_task(run())] = attempt

    async def is_done_within(self, seconds: float) -> bool:
        """Wait and return whether a request has succeeded or failed by then."""
        done, _ = await asyncio.wait(self._attempts, timeout=seconds)
        return bool(done)

    async def first_response(self) -> ResponseStream:
        """Return the first response and cancel the other request. Raises the first request's error if all fail."""
        pending = set(self._attempts)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            winner = next((task for task in self._attempts if task in done and not task.exception()), None)
            if winner is not None:
                return await self._won_by(winner, [task for task in self._attempts if task in pending or task in done])
        first_error = next(iter(self._attempts)).exception()
        assert first_error is not None
        raise first_error

    async def _won_by(
        self, winner: asyncio.Task[ResponseStream], others: Sequence[asyncio.Task[Any]]
    ) -> ResponseStream:
        await _cancel_and_close([task for task in others if task is not winner])
        attempts = list(self._attempts.values())
        attempts[0].upstream_timer.seconds = max(attempt.upstream_timer.seconds for attempt in attempts)
        used = self._attempts[winner]
        used.call.attempts.move_last(used.record)
        self._attempts = {}  # the caller closes the response from now on
        return winner.result()


async def _cancel_and_close(tasks: Sequence[asyncio.Task[ResponseStream]]) -> None:
    """Cancel the tasks, wait until they have ended, and close the responses of those that had already completed."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, ResponseStream):
            await result.aclose()
