"""Reports the health of providers from circuit breakers, recent outcomes, probes and missing keys."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ..core.coalescing import Coalescer
from ..core.errors import GatewayError, ProviderNotFound
from ..core.handler import Clock, Provider
from ..telemetry.provider_stats import WINDOW_SECONDS, ProviderStats
from .breaker_registry import BreakerRegistry
from .circuit_breaker import CircuitBreaker, CircuitState

DEGRADED_ERROR_RATE = 0.1
MAX_MODELS_NAMED = 5
PROBE_INTERVAL_SECONDS = 10.0
"""Shortest time between two probes of a provider that callers request."""

POLL_SECONDS = 1.0
"""Maximum delay before a watch reports a change that no call triggers, such as open to half-open."""

MAX_PENDING_REPORTS = 1000
"""Unread reports kept per watch; the oldest are dropped first."""

WORST_FIRST = (CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED)


class ProviderStatus(StrEnum):
    """Overall status of a provider."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    NOT_CONFIGURED = "not_configured"


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """Health of one provider. Latencies are in seconds, times in seconds since the Unix epoch; None means no data."""

    provider: str
    status: ProviderStatus
    circuit_state: CircuitState = CircuitState.CLOSED
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


class ProviderHealth:
    """Report on the providers of `replace_providers`.

    A provider reports its worst circuit breaker,
    and of several equals the one that is retried first. It is DOWN if a model's breakers are open for every key of the
    server used there and no call to the provider succeeded since; any other breaker that is not closed makes it
    DEGRADED.
    """

    def __init__(
        self,
        breakers: BreakerRegistry,
        stats: ProviderStats,
        clock: Clock,
        wall_clock: Clock,
    ) -> None:
        self._providers: Mapping[str, Provider] = {}
        self._missing_keys: Mapping[str, str] = {}
        self._breakers = breakers
        self._stats = stats
        self._clock = clock
        self._wall_clock = wall_clock
        self._probes: dict[str, tuple[float, GatewayError | None]] = {}
        self._watches: set[_Watch] = set()
        self._requested_probes: Coalescer[None] = Coalescer(PROBE_INTERVAL_SECONDS, clock)
        breakers.subscribe(self._on_transition)

    @property
    def watches(self) -> int:
        """Number of open watches."""
        return len(self._watches)

    def replace_providers(self, providers: Mapping[str, Provider], missing_keys: Mapping[str, str]) -> None:
        """Report on these providers from now on. `missing_keys` maps each without an API key to the solution.

        A provider that stays keeps its last probe. Watches of all providers include new ones; providers that were
        removed are not reported any more.
        """
        self._probes = {
            name: probe for name, probe in self._probes.items() if providers.get(name) is self._providers.get(name)
        }
        self._providers, self._missing_keys = providers, missing_keys
        self._stats.notify()

    def providers(self) -> tuple[str, ...]:
        """Return the names of all providers, sorted."""
        return tuple(sorted(self._providers))

    def report(self, provider: str) -> ProviderReport:
        """Return the provider's current health. Raises ProviderNotFound."""
        self._require_configured(provider)
        window = self._stats.window(provider)
        worst = min(self._breakers.all(provider), key=_rank, default=None)
        status, circuit_state = self._state(provider)
        return ProviderReport(
            provider=provider,
            status=status,
            circuit_state=circuit_state,
            consecutive_failures=worst.consecutive_failures if worst else 0,
            opened_at=self._wall_time(worst.opened_at if worst else None),
            retry_at=self._wall_time(worst.retry_at if worst else None),
            latency_p50=window.latency(0.5),
            latency_p95=window.latency(0.95),
            error_rate=window.error_rate(),
            last_success_at=window.last_success_at,
            last_failure_at=window.last_failure_at,
            last_error_reason=window.last_error_reason,
            solution=self._solution(provider, status),
        )

    async def probe(self, provider: str) -> ProviderReport:
        """Send a free request to the provider and return its health. A failed probe is reported, not raised.

        Probes of the same provider share one request in PROBE_INTERVAL_SECONDS. Raises ProviderNotFound.
        """
        self._require_configured(provider)
        if provider not in self._missing_keys:
            await self._requested_probes.run(provider, lambda: self._probe(provider))
        return self.report(provider)

    async def _probe(self, provider: str) -> None:
        failure: GatewayError | None = None
        try:
            await self._providers[provider].probe()
        except GatewayError as error:
            failure = error
        self.record_probe(provider, failure)

    def record_probe(self, provider: str, error: GatewayError | None) -> None:
        """Record a probe's error, None for a success."""
        self._probes[provider] = (self._wall_clock(), error)

    async def watch(self, providers: Iterable[str]) -> AsyncIterator[ProviderReport]:
        """Yield the health of each provider now, then again whenever its status or circuit state changes.

        Watches every provider if `providers` is empty. Never ends. Reports each circuit state, however brief.
        """
        watch = _Watch(tuple(providers))
        self._watches.add(watch)
        try:
            while True:
                for provider in self._watched_by(watch):
                    self._report_change(watch, provider)
                if not watch.reports:
                    await self._stats.wait_for_change(POLL_SECONDS)
                while watch.reports:
                    yield watch.reports.popleft()
        finally:
            self._watches.discard(watch)

    def is_available(self, provider: str, model: str) -> bool:
        """Return whether the provider has a key and its circuit breakers admit calls to the model."""
        return provider not in self._missing_keys and not self._breakers.rejects_calls(provider, model)

    def circuit_state(self, provider: str) -> CircuitState:
        """Return the worst state of the provider's circuit breakers. Safe to call from any thread."""
        states = (breaker.state for breaker in self._breakers.not_closed(provider))
        return min(states, key=WORST_FIRST.index, default=CircuitState.CLOSED)

    def _on_transition(self, provider: str) -> None:
        for watch in self._watches:
            if provider in self._watched_by(watch):
                self._report_change(watch, provider)
        self._stats.notify()

    def _watched_by(self, watch: _Watch) -> Iterable[str]:
        return (name for name in watch.providers or self.providers() if name in self._providers)

    def _report_change(self, watch: _Watch, provider: str) -> None:
        state = self._state(provider)
        if watch.last_states.get(provider) != state:
            watch.last_states[provider] = state
            watch.reports.append(self.report(provider))

    def _require_configured(self, provider: str) -> None:
        if provider not in self._providers:
            names = ", ".join(self.providers())
            raise ProviderNotFound(
                f"Provider {provider!r} not found. Configured providers: {names}.", provider=provider
            )

    def _state(self, provider: str) -> tuple[ProviderStatus, CircuitState]:
        circuit_state = self.circuit_state(provider)
        return self._status(provider, circuit_state), circuit_state

    def _status(self, provider: str, circuit_state: CircuitState) -> ProviderStatus:
        if provider in self._missing_keys:
            return ProviderStatus.NOT_CONFIGURED
        all_keys_open = circuit_state is CircuitState.OPEN and self._breakers.all_keys_open(provider)
        if all_keys_open and not self._succeeded_since_opening(provider):
            return ProviderStatus.DOWN
        window, probe = self._stats.window(provider), self._recent_probe(provider)
        is_failing = window.error_rate() >= DEGRADED_ERROR_RATE or (probe is not None and probe[1] is not None)
        if circuit_state is not CircuitState.CLOSED or is_failing:
            return ProviderStatus.DEGRADED
        return ProviderStatus.HEALTHY if window.samples or probe else ProviderStatus.UNKNOWN

    def _solution(self, provider: str, status: ProviderStatus) -> str:
        if status is ProviderStatus.NOT_CONFIGURED:
            return self._missing_keys[provider]
        if status not in (ProviderStatus.DOWN, ProviderStatus.DEGRADED):
            return ""
        probe = self._recent_probe(provider)
        solution = probe[1].solution if probe and probe[1] else self._stats.window(provider).last_solution
        models = sorted({breaker.model for breaker in self._breakers.not_closed(provider) if breaker.model})
        if not models:
            return solution
        return f"{solution} Circuit breaker not closed for: {', '.join(models[:MAX_MODELS_NAMED])}.".lstrip()

    def _succeeded_since_opening(self, provider: str) -> bool:
        """Return whether a call succeeded after the last of the provider's breakers opened."""
        opened_at = max((breaker.opened_at or 0.0 for breaker in self._breakers.not_closed(provider)), default=0.0)
        last_success_at = self._stats.window(provider).last_success_at
        return last_success_at is not None and last_success_at > (self._wall_time(opened_at) or 0.0)

    def _recent_probe(self, provider: str) -> tuple[float, GatewayError | None] | None:
        """Return the time and error of the last probe, None if it is outdated or a call succeeded after it."""
        probe = self._probes.get(provider)
        if probe is None or self._wall_clock() - probe[0] > WINDOW_SECONDS:
            return None
        last_success_at = self._stats.window(provider).last_success_at
        return None if last_success_at is not None and last_success_at > probe[0] else probe

    def _wall_time(self, moment: float | None) -> float | None:
        return None if moment is None else self._wall_clock() + moment - self._clock()


class _Watch:
    """One watcher: its providers, all if empty, the last state reported for each, and the unread reports."""

    def __init__(self, providers: tuple[str, ...]) -> None:
        self.providers = providers
        self.last_states: dict[str, tuple[ProviderStatus, CircuitState]] = {}
        self.reports: deque[ProviderReport] = deque(maxlen=MAX_PENDING_REPORTS)


def _rank(breaker: CircuitBreaker) -> tuple[int, float, int]:
    return WORST_FIRST.index(breaker.state), breaker.retry_at or 0.0, -breaker.consecutive_failures
