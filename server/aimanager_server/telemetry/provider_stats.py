"""How each provider did lately: what traffic and probes showed in the last five minutes."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from ..core.handler import Clock

WINDOW_SECONDS = 300.0
MOST_SAMPLES = 2000


class Status(StrEnum):
    """Verdict on a provider."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    NOT_CONFIGURED = "not_configured"


class Circuit(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Report:
    """State of one provider. Latencies in seconds; times in seconds since 1970; None where there is no evidence."""

    provider: str
    status: Status
    circuit: Circuit = Circuit.CLOSED
    consecutive_failures: int = 0
    opened_at: float | None = None
    retry_at: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    error_rate: float = 0.0
    last_success_at: float | None = None
    last_failure_at: float | None = None
    last_error_reason: str = ""
    solution: str = ""


@dataclass(slots=True)
class Pulse:
    """What is known of one provider: samples are (when, latency), latency None for a failure."""

    samples: deque[tuple[float, float | None]] = field(default_factory=deque)
    failures: int = 0
    last_success_at: float | None = None
    last_failure_at: float | None = None
    last_error_reason: str = ""
    last_solution: str = ""

    def add(self, when: float, latency: float | None) -> None:
        """Take a sample; the oldest goes where there are too many."""
        if len(self.samples) >= MOST_SAMPLES:
            self._drop()
        self.samples.append((when, latency))
        self.failures += latency is None

    def prune(self, oldest: float) -> None:
        """Forget what was before."""
        while self.samples and self.samples[0][0] < oldest:
            self._drop()

    def latency(self, share: float) -> float | None:
        """The latency that `share` (0 to 1) of the answers stayed under; None without answers."""
        answered = sorted(latency for _, latency in self.samples if latency is not None)
        return answered[min(len(answered) - 1, math.ceil(share * len(answered)) - 1)] if answered else None

    def error_rate(self) -> float:
        """Share of failures, 0 without samples."""
        return self.failures / len(self.samples) if self.samples else 0.0

    def _drop(self) -> None:
        _, latency = self.samples.popleft()
        self.failures -= latency is None


class Vitals:
    """Records outcomes by provider. `clock` is monotonic, `now` tells seconds since 1970."""

    def __init__(self, clock: Clock, now: Clock) -> None:
        self._clock = clock
        self._now = now
        self._pulses: dict[str, Pulse] = {}
        self._watchers: set[asyncio.Event] = set()

    def answered(self, provider: str, latency: float) -> None:
        """The provider gave a whole answer, in `latency` seconds."""
        pulse = self.pulse(provider)
        pulse.add(self._clock(), latency)
        pulse.last_success_at = self._now()
        self.notify()

    def failed(self, provider: str, reason: str, solution: str) -> None:
        """The provider failed by its own fault."""
        pulse = self.pulse(provider)
        pulse.add(self._clock(), None)
        pulse.last_failure_at = self._now()
        pulse.last_error_reason = reason
        pulse.last_solution = solution
        self.notify()

    def pulse(self, provider: str) -> Pulse:
        """What is known of the provider; samples older than the window are gone."""
        pulse = self._pulses.get(provider)
        if pulse is None:
            pulse = self._pulses[provider] = Pulse()
        pulse.prune(self._clock() - WINDOW_SECONDS)
        return pulse

    async def changed(self, seconds: float) -> None:
        """Wait for the next outcome or other change, at most `seconds`."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            await asyncio.wait_for(changed.wait(), seconds)
        except TimeoutError:
            return
        finally:
            self._watchers.discard(changed)

    def notify(self) -> None:
        """Wake all who wait for a change."""
        for changed in self._watchers:
            changed.set()
