"""Outcomes of the last five minutes by provider: latencies, error rate, last error."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field

from ..core.attempts import AttemptRecord
from ..core.handler import Clock

WINDOW_SECONDS = 300.0
MAX_SAMPLES = 2000
"""Samples kept per provider; the oldest are dropped first."""


@dataclass(slots=True)
class ProviderWindow:
    """Recent outcomes of one provider. A sample is (time, latency in seconds); a failure has no latency.

    Times named `*_at` are in seconds since the Unix epoch.
    """

    samples: deque[tuple[float, float | None]] = field(default_factory=deque)
    failures: int = 0
    last_success_at: float | None = None
    last_failure_at: float | None = None
    last_error_reason: str = ""
    last_solution: str = ""

    def add(self, when: float, latency: float | None) -> None:
        """Add a sample, dropping the oldest one above MAX_SAMPLES."""
        if len(self.samples) >= MAX_SAMPLES:
            self._drop_oldest()
        self.samples.append((when, latency))
        self.failures += latency is None

    def prune(self, oldest: float) -> None:
        """Drop samples from before `oldest`."""
        while self.samples and self.samples[0][0] < oldest:
            self._drop_oldest()

    def latency(self, quantile: float) -> float | None:
        """Return the latency at `quantile` (0 to 1) of the successful calls, None if none succeeded."""
        latencies = sorted(latency for _, latency in self.samples if latency is not None)
        if not latencies:
            return None
        return latencies[min(len(latencies) - 1, math.ceil(quantile * len(latencies)) - 1)]

    def error_rate(self) -> float:
        """Return the share of failures (0 to 1), 0 without samples."""
        return self.failures / len(self.samples) if self.samples else 0.0

    def _drop_oldest(self) -> None:
        _, latency = self.samples.popleft()
        self.failures -= latency is None


class ProviderStats:
    """Record outcomes by provider and wake waiters on each change.

    `clock` is monotonic; `wall_clock` returns seconds since the Unix epoch.
    """

    def __init__(self, clock: Clock, wall_clock: Clock) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._windows: dict[str, ProviderWindow] = {}
        self._waiters: set[asyncio.Event] = set()

    @property
    def samples(self) -> int:
        """Number of samples of all providers."""
        return sum(len(window.samples) for window in tuple(self._windows.values()))

    def attempt_started(self, record: AttemptRecord) -> None:
        """Do nothing: outcomes are recorded when an attempt ends."""

    def attempt_ended(self, record: AttemptRecord) -> None:
        """Record the outcome of an attempt, unless it does not concern the provider."""
        if record.effect == "success":
            self.record_success(record.provider, record.latency)
        elif record.effect != "none":
            self.record_failure(record.provider, record.error_reason, record.solution)

    def record_success(self, provider: str, latency: float) -> None:
        """Record a complete response, received after `latency` seconds."""
        window = self.window(provider)
        window.add(self._clock(), latency)
        window.last_success_at = self._wall_clock()
        self.notify()

    def record_failure(self, provider: str, reason: str, solution: str) -> None:
        """Record a failure that the provider caused."""
        window = self.window(provider)
        window.add(self._clock(), None)
        window.last_failure_at = self._wall_clock()
        window.last_error_reason = reason
        window.last_solution = solution
        self.notify()

    def window(self, provider: str) -> ProviderWindow:
        """Return the provider's outcomes of the last WINDOW_SECONDS."""
        window = self._windows.get(provider)
        if window is None:
            window = self._windows[provider] = ProviderWindow()
        window.prune(self._clock() - WINDOW_SECONDS)
        return window

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Return after the next outcome or `notify`, at the latest after `timeout_seconds`."""
        changed = asyncio.Event()
        self._waiters.add(changed)
        try:
            await asyncio.wait_for(changed.wait(), timeout_seconds)
        except TimeoutError:
            return
        finally:
            self._waiters.discard(changed)

    def notify(self) -> None:
        """Wake every waiter."""
        for changed in self._waiters:
            changed.set()
