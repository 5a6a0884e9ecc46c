"""Cuts off a failing provider for a while, then lets one call try."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from ..handler import Clock
from .vitals import Circuit

MOST_BREAKERS = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """When a circuit opens, and for how long (seconds). The open interval doubles up to `longest_open`."""

    failure_threshold: int = 5
    window: float = 30.0
    window_calls: int = 20
    window_share: float = 0.5
    open: float = 5.0
    longest_open: float = 300.0


class Breaker:
    """One circuit. Opens after consecutive failures or a failing share of recent calls; half-open admits one call."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._recent: deque[tuple[float, bool]] = deque(maxlen=1000)
        self._interval = rules.open
        self._trial = False
        self.consecutive_failures = 0
        self.opened_at: float | None = None
        self.retry_at: float | None = None

    @property
    def circuit(self) -> Circuit:
        """The state now."""
        if self.retry_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if self._clock() < self.retry_at else Circuit.HALF_OPEN

    def admit(self) -> float | None:
        """None where the call may pass, else the seconds until another may try. Who passed reports back once."""
        if self.retry_at is None:
            return None
        wait = self.retry_at - self._clock()
        if wait > 0 or self._trial:
            return max(wait, 1.0)
        self._trial = True
        return None

    def began(self) -> None:
        """First content arrived: enough to end a trial, not yet a success."""
        if self.retry_at is not None:
            self._close()

    def succeeded(self) -> None:
        """A whole answer arrived."""
        self._recent.append((self._clock(), True))
        self.consecutive_failures = 0
        if self.retry_at is not None:
            self._close()
        self._interval = self._rules.open

    def failed(self) -> None:
        """The provider failed by its own fault."""
        self._recent.append((self._clock(), False))
        self.consecutive_failures += 1
        if self.retry_at is not None and not self._trial:
            return  # a straggler from before the circuit opened must not lengthen the interval
        if self._trial or self.consecutive_failures >= self._rules.failure_threshold or self._mostly_failing():
            self.open(self._interval)
            self._interval = min(self._interval * 2, self._rules.longest_open)

    def abandoned(self) -> None:
        """The call ended without saying anything about the provider."""
        self._trial = False

    def open(self, seconds: float) -> None:
        """Refuse calls for so long."""
        self._trial = False
        self.opened_at = self._clock()
        self.retry_at = self.opened_at + seconds

    def _close(self) -> None:
        self._trial = False
        self.opened_at = self.retry_at = None
        self._recent.clear()

    def _mostly_failing(self) -> bool:
        oldest = self._clock() - self._rules.window
        outcomes = [good for when, good in self._recent if when >= oldest]
        enough = len(outcomes) >= self._rules.window_calls
        return enough and outcomes.count(False) / len(outcomes) >= self._rules.window_share


class Breakers:
    """A circuit for each model of each provider, and one (model "") for the server's own account at a provider."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self.rules = rules
        self._clock = clock
        self._breakers: OrderedDict[tuple[str, str], Breaker] = OrderedDict()

    def of(self, provider: str, model: str = "") -> Breaker:
        """The circuit, made on first use; memory is bounded, the least recently used closed one goes first."""
        key = (provider, model)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(self.rules, self._clock)
            if len(self._breakers) > MOST_BREAKERS:
                self._breakers.popitem(last=False)
        else:
            self._breakers.move_to_end(key)
        return breaker

    def known(self, provider: str) -> Iterator[Breaker]:
        """Every circuit of a provider that was used so far."""
        return (breaker for (name, _), breaker in self._breakers.items() if name == provider)

    def is_open(self, provider: str, model: str) -> bool:
        """Whether a call to the model would be refused now."""
        circuits = (self._breakers.get((provider, name)) for name in ("", model))
        return any(breaker is not None and breaker.circuit is Circuit.OPEN for breaker in circuits)
