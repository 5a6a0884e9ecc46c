"""Circuit breaker: rejects calls to a failing target until it recovers."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

from ..config.resilience import CircuitBreakerSettings, RetrySettings
from ..core.handler import Clock
from .outcome_window import OutcomeWindow

TRIAL_RETRY_SECONDS = 1.0
"""Advertised wait while a trial or a probe is in flight, whose duration is unknown."""
TIMER_TOLERANCE = 0.01
"""Timers may fire early by this much; a caller that waited out the block must not be rejected."""


class CircuitState(StrEnum):
    """State of a circuit breaker. HALF_OPEN admits one trial call."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitBreaker:
    """Open after consecutive failures or at a high failure rate, then half-open for one trial call.

    A breaker that `is_probed` stays open until `probe_succeeded`; any other half-opens after an interval that doubles
    with each failed trial. `scope` is (provider, model, key id). Callers report outcomes with the `generation` read
    after `try_acquire`; outcomes of calls admitted before the breaker last opened, or before the current trial, are
    ignored. `on_transition` receives the breaker and the error's reason on each change of state.
    """

    __slots__ = (
        "_blocked_until", "_clock", "_half_open_reported", "_is_trial_in_flight", "_max_block_seconds",
        "_on_transition", "_open_seconds", "_outcomes", "_preferred_wait_seconds", "_settings",
        "awaiting_probe", "consecutive_failures", "generation", "is_probed", "key_id", "model", "open_reason",
        "opened_at", "provider", "retry_at",
    )  # fmt: skip

    def __init__(
        self,
        settings: CircuitBreakerSettings,
        retry: RetrySettings,
        clock: Clock,
        scope: tuple[str, str, str] = ("", "", ""),
        on_transition: Callable[[CircuitBreaker, str], None] = lambda breaker, reason: None,
        *,
        is_probed: bool = False,
    ) -> None:
        self._settings = settings
        self._max_block_seconds = retry.max_retry_after_seconds
        self._preferred_wait_seconds = retry.prefer_same_target_seconds
        self._clock = clock
        self.provider, self.model, self.key_id = scope
        self._on_transition = on_transition
        self.is_probed = is_probed
        self._outcomes = OutcomeWindow(settings.window_seconds)
        self._open_seconds = settings.open_seconds
        self._blocked_until = -math.inf
        self._is_trial_in_flight = False
        self._half_open_reported = False
        self.awaiting_probe = False
        self.generation = 0
        self.consecutive_failures = 0
        self.open_reason = ""
        self.opened_at: float | None = None
        self.retry_at: float | None = None

    def reconfigure(self, settings: CircuitBreakerSettings, retry: RetrySettings) -> None:
        """Change the settings. The state stays, and an interval that has begun keeps its length.

        A window of another length begins empty.
        """
        if settings.window_seconds != self._settings.window_seconds:
            self._outcomes = OutcomeWindow(settings.window_seconds)
        self._settings = settings
        self._max_block_seconds = retry.max_retry_after_seconds
        self._preferred_wait_seconds = retry.prefer_same_target_seconds
        is_closed = self.retry_at is None
        self._open_seconds = settings.open_seconds if is_closed else min(self._open_seconds, settings.max_open_seconds)

    def delegate_probing(self, is_probed: bool) -> None:
        """Leave the recovery to probes or, as without probes, to a trial call once the interval has passed."""
        self.is_probed = is_probed
        self.awaiting_probe = self.awaiting_probe and is_probed

    @property
    def state(self) -> CircuitState:
        """Return the current state."""
        if self.retry_at is None:
            return CircuitState.CLOSED
        if self.awaiting_probe or self._clock() < self.retry_at:
            return CircuitState.OPEN
        return CircuitState.HALF_OPEN

    @property
    def blocked_seconds(self) -> float:
        """Return the rest of the wait that the provider requested, 0 if none."""
        remaining = self._blocked_until - self._clock()
        return remaining if remaining > TIMER_TOLERANCE else 0.0

    @property
    def rejects_calls(self) -> bool:
        """Return whether a call would be rejected now, and not wait for the rest of a short block."""
        is_blocked = self.blocked_seconds > self._preferred_wait_seconds
        return self._is_trial_in_flight or is_blocked or self.state is CircuitState.OPEN

    def try_acquire(self) -> float | None:
        """Return None if the call is admitted, else the seconds to wait before the next try.

        An admitted call reports its outcome once, with the `generation` read right after this method.
        """
        if self.retry_at is None:
            return None
        wait = self.retry_at - self._clock()
        if self.awaiting_probe or wait > 0 or self._is_trial_in_flight:
            return wait if wait > 0 else TRIAL_RETRY_SECONDS
        self._is_trial_in_flight = True
        self.generation += 1
        self._report_half_open()
        return None

    def record_first_content(self, generation: int) -> None:
        """Close the breaker on the first content of a trial. Does not yet count as a success."""
        if generation == self.generation and self.retry_at is not None:
            self._close()

    def record_success(self, generation: int) -> None:
        """Record a complete response: close the breaker and reset its open interval."""
        if generation != self.generation:
            return
        self._outcomes.add(self._clock(), is_failure=False)
        self.consecutive_failures = 0
        self._open_seconds = self._settings.open_seconds
        if self.retry_at is not None:
            self._close()

    def record_failure(self, generation: int, reason: str) -> None:
        """Record a failure caused by the provider; open if it was a trial or a threshold is reached."""
        if generation != self.generation:
            return
        self._outcomes.add(self._clock(), is_failure=True)
        self.consecutive_failures += 1
        threshold_reached = self.consecutive_failures >= self._settings.failure_threshold
        if not (self._is_trial_in_flight or threshold_reached or self._is_failure_rate_exceeded()):
            return
        if self.is_probed:
            self._open(self._settings.probe_interval_seconds, reason, awaiting_probe=True)
            return
        seconds = self._open_seconds
        self._open_seconds = min(seconds * 2, self._settings.max_open_seconds)
        self._open(seconds, reason, awaiting_probe=False)

    def record_credentials_failure(self, generation: int, reason: str) -> None:
        """Open after a rejected key, model or an exhausted quota, for a fixed time: a probe cannot see the recovery."""
        if generation == self.generation:
            self.open_for(self._settings.credentials_open_seconds, reason)

    def release(self, generation: int) -> None:
        """End a call without recording an outcome, such as a cancelled one, so that another trial may start."""
        if generation == self.generation:
            self._is_trial_in_flight = False

    def open_for(self, seconds: float, reason: str = "") -> None:
        """Open for a fixed time, whatever the probes report."""
        self._open(seconds, reason, awaiting_probe=False)

    def block_for(self, seconds: float) -> None:
        """Honor a wait that the provider requested, up to the configured maximum. The state does not change."""
        self._blocked_until = max(self._blocked_until, self._clock() + min(seconds, self._max_block_seconds))

    def schedule_probe(self, seconds: float) -> None:
        """Set the time of the next probe, advertised to rejected calls."""
        if self.awaiting_probe:
            self.retry_at = self._clock() + seconds

    def probe_succeeded(self) -> None:
        """Half-open if awaiting a probe."""
        if self.awaiting_probe:
            self.awaiting_probe = False
            self.retry_at = self._clock()
            self._report_half_open()

    def _open(self, seconds: float, reason: str, *, awaiting_probe: bool) -> None:
        self.generation += 1
        self.awaiting_probe = awaiting_probe
        self._is_trial_in_flight = self._half_open_reported = False
        self.open_reason = reason
        self.opened_at = self._clock()
        self.retry_at = self.opened_at + seconds
        self._on_transition(self, reason)

    def _report_half_open(self) -> None:
        if not self._half_open_reported:
            self._half_open_reported = True
            self._on_transition(self, "")

    def _close(self) -> None:
        self._is_trial_in_flight = self.awaiting_probe = False
        self.opened_at = self.retry_at = None
        self._outcomes.clear()
        self._on_transition(self, "")

    def _is_failure_rate_exceeded(self) -> bool:
        calls, failures = self._outcomes.counts(self._clock())
        return calls >= self._settings.minimum_calls and failures / calls >= self._settings.failure_rate_threshold
