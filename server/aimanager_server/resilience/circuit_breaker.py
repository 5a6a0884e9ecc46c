"""One circuit: cuts off a failing target until it answers again, then lets one call try."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..core.handler import Clock
from ..telemetry.provider_stats import Circuit

SOON = 1.0
"""What a refused call is told where a trial or a probe is under way: nobody knows how long it takes."""
SLACK = 0.01
"""Timers may ring so much early; who waited a hold out must not be refused for it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a circuit opens, and for how long (seconds).

    Where nobody probes, the open interval doubles from `open` up to `longest_open`; else a probe is due every `probe`.
    `refused` holds after a refused key or a spent quota, `longest_hold` bounds what a provider asks to wait.
    """

    failure_threshold: int = 5
    window: float = 30.0
    window_calls: int = 20
    window_share: float = 0.5
    open: float = 5.0
    longest_open: float = 60.0
    refused: float = 300.0
    probe: float = 4.0
    longest_hold: float = 120.0


class Breaker:
    """One circuit. Opens after consecutive failures or a failing share of recent calls; half-open admits one call.

    Where it `is_probed`, failures open it until the provider `answers`, else for a time. Reports name the `era` in
    which the call was admitted: who was admitted before the circuit last opened, or tries before another trial, has
    nothing new to say. `moved` hears of every change of state, with the reason.
    """

    __slots__ = (
        "_clock", "_held_until", "_interval", "_is_told", "_moved", "_recent", "_rules", "_trial", "_waits",
        "consecutive_failures", "era", "is_probed", "key_id", "model", "opened_at", "provider", "retry_at",
    )  # fmt: skip

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        place: tuple[str, str, str] = ("", "", ""),
        moved: Callable[[Breaker, str], None] = lambda breaker, reason: None,
        *,
        is_probed: bool = False,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self.provider, self.model, self.key_id = place
        self._moved = moved
        self.is_probed = is_probed
        self._recent: deque[tuple[float, bool]] = deque(maxlen=1000)
        self._interval = rules.open
        self._held_until = -math.inf
        self._waits = False
        self._trial = False
        self._is_told = False
        self.era = 0
        self.consecutive_failures = 0
        self.opened_at: float | None = None
        self.retry_at: float | None = None

    @property
    def circuit(self) -> Circuit:
        """The state now."""
        if self.retry_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if self._waits or self._clock() < self.retry_at else Circuit.HALF_OPEN

    @property
    def waits(self) -> bool:
        """It is open until a probe is answered."""
        return self._waits

    @property
    def held(self) -> float:
        """Seconds for which the provider still asks to wait, 0 where it does not."""
        left = self._held_until - self._clock()
        return left if left > SLACK else 0.0

    @property
    def refuses(self) -> bool:
        """A call would be refused now."""
        return self._trial or self.held > 0 or self.circuit is Circuit.OPEN

    def admit(self) -> float | None:
        """None where the call may pass, else the seconds until another may try.

        Who passed reports back once, with the `era` there is then.
        """
        if self.retry_at is None:
            return None
        wait = self.retry_at - self._clock()
        if self._waits or wait > 0 or self._trial:
            return wait if wait > 0 else SOON
        self._trial = True
        self.era += 1
        self._half_opened()
        return None

    def began(self, era: int) -> None:
        """First content arrived: enough to end a trial, not yet a success."""
        if era == self.era and self.retry_at is not None:
            self._close()

    def succeeded(self, era: int) -> None:
        """A whole answer arrived."""
        if era != self.era:
            return
        self._recent.append((self._clock(), True))
        self.consecutive_failures = 0
        self._interval = self._rules.open
        if self.retry_at is not None:
            self._close()

    def failed(self, era: int, reason: str) -> None:
        """The provider failed by its own fault."""
        if era != self.era:
            return
        self._recent.append((self._clock(), False))
        self.consecutive_failures += 1
        if not (self._trial or self.consecutive_failures >= self._rules.failure_threshold or self._mostly_failing()):
            return
        if self.is_probed:
            self._open(self._rules.probe, reason, waits=True)
            return
        seconds, self._interval = self._interval, min(self._interval * 2, self._rules.longest_open)
        self._open(seconds, reason, waits=False)

    def abandoned(self, era: int) -> None:
        """The call ended without saying anything about the provider: its place is another's."""
        if era == self.era:
            self._trial = False

    def refused(self, era: int, reason: str) -> None:
        """The provider would not have the key, or its quota is spent: no probe would tell when that changes."""
        if era == self.era:
            self.open(self._rules.refused, reason)

    def open(self, seconds: float, reason: str = "") -> None:
        """Refuse calls for so long, whatever probes say."""
        self._open(seconds, reason, waits=False)

    def hold(self, seconds: float) -> None:
        """The provider asks to wait for so long. This opens nothing."""
        self._held_until = max(self._held_until, self._clock() + min(seconds, self._rules.longest_hold))

    def expect(self, seconds: float) -> None:
        """The next probe comes in so many seconds."""
        if self._waits:
            self.retry_at = self._clock() + seconds

    def answers(self) -> None:
        """A probe was answered: let one call try."""
        if self._waits:
            self._waits = False
            self.retry_at = self._clock()
            self._half_opened()

    def _open(self, seconds: float, reason: str, *, waits: bool) -> None:
        self.era += 1
        self._waits = waits
        self._trial = self._is_told = False
        self.opened_at = self._clock()
        self.retry_at = self.opened_at + seconds
        self._moved(self, reason)

    def _half_opened(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._moved(self, "")

    def _close(self) -> None:
        self._trial = self._waits = False
        self.opened_at = self.retry_at = None
        self._recent.clear()
        self._moved(self, "")

    def _mostly_failing(self) -> bool:
        oldest = self._clock() - self._rules.window
        outcomes = [good for when, good in self._recent if when >= oldest]
        enough = len(outcomes) >= self._rules.window_calls
        return enough and outcomes.count(False) / len(outcomes) >= self._rules.window_share
