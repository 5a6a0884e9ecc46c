"""Tells how the providers do: joins circuits, vital signs and keys into one report."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping

from ..core.errors import GatewayError, ProviderNotFound
from ..core.handler import Clock, Provider
from ..telemetry.provider_stats import WINDOW_SECONDS, Circuit, Report, Status, Vitals
from .breaker_registry import Breaker, Breakers

DEGRADED_ERROR_RATE = 0.1
MOST_NAMED = 5
LOOK_SECONDS = 1.0
"""How late a change that no call announces, such as open to half-open, may be seen."""

MOST_CHANGES = 1000
"""How many changes a watcher that does not read is kept; the oldest go first."""

WORST_FIRST = (Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED)


class ProviderHealth:
    """Reports on every provider of this server. `missing_keys` holds what to do for each provider without one.

    A provider's circuit is its worst, and of equals the one that is tried next. It is DOWN where a model's circuits are
    open for every key of the server's that was used there, and none of its models answered since; any other circuit
    that is not closed makes it DEGRADED.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        breakers: Breakers,
        vitals: Vitals,
        clock: Clock,
        now: Clock,
        missing_keys: Mapping[str, str],
    ) -> None:
        self._providers = providers
        self._breakers = breakers
        self._vitals = vitals
        self._clock = clock
        self._now = now
        self._missing_keys = missing_keys
        self._probes: dict[str, tuple[float, GatewayError | None]] = {}
        self._watches: set[_Watch] = set()
        breakers.listen(self._moved)

    def providers(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(sorted(self._providers))

    def report(self, provider: str) -> Report:
        """State of one provider now. Raises UnknownProvider."""
        self._known(provider)
        pulse = self._vitals.pulse(provider)
        worst = min(self._breakers.known(provider), key=_rank, default=None)
        status, circuit = self._state(provider)
        return Report(
            provider=provider,
            status=status,
            circuit=circuit,
            consecutive_failures=worst.consecutive_failures if worst else 0,
            opened_at=self._wall(worst.opened_at if worst else None),
            retry_at=self._wall(worst.retry_at if worst else None),
            latency_p50=pulse.latency(0.5),
            latency_p95=pulse.latency(0.95),
            error_rate=pulse.error_rate(),
            last_success_at=pulse.last_success_at,
            last_failure_at=pulse.last_failure_at,
            last_error_reason=pulse.last_error_reason,
            solution=self._solution(provider, status),
        )

    async def probe(self, provider: str) -> Report:
        """Ask the provider for something free, then report. A failed probe is a finding, not an error."""
        self._known(provider)
        if provider not in self._missing_keys:
            failed: GatewayError | None = None
            try:
                await self._providers[provider].probe()
            except GatewayError as fault:
                failed = fault
            self.probed(provider, failed)
        return self.report(provider)

    def probed(self, provider: str, failed: GatewayError | None) -> None:
        """Take note that the provider was asked for something free, and how that failed."""
        self._probes[provider] = (self._now(), failed)

    async def watch(self, providers: Iterable[str]) -> AsyncIterator[Report]:
        """State of each provider now, then again whenever its status or circuit changes; without end.

        No state of a circuit is passed over, however short.
        """
        watch = _Watch(tuple(providers) or self.providers())
        self._watches.add(watch)
        try:
            while True:
                for name in watch.names:
                    self._note(watch, name)
                if not watch.reports:
                    await self._vitals.changed(LOOK_SECONDS)
                while watch.reports:
                    yield watch.reports.popleft()
        finally:
            self._watches.discard(watch)

    def available(self, provider: str, model: str) -> bool:
        """A key is there, and a call with one of them would not be refused at once."""
        return provider not in self._missing_keys and not self._breakers.is_open(provider, model)

    def circuit(self, provider: str) -> Circuit:
        """The worst state of the provider's circuits. Threads may ask."""
        return min(
            (one.circuit for one in self._breakers.shut(provider)), key=WORST_FIRST.index, default=Circuit.CLOSED
        )

    def _moved(self, provider: str) -> None:
        for watch in self._watches:
            if provider in watch.names:
                self._note(watch, provider)
        self._vitals.notify()

    def _note(self, watch: _Watch, provider: str) -> None:
        state = self._state(provider)
        if watch.shown.get(provider) != state:
            watch.shown[provider] = state
            watch.reports.append(self.report(provider))

    def _known(self, provider: str) -> None:
        if provider not in self._providers:
            accepted = ", ".join(self.providers())
            raise ProviderNotFound(f"There is no provider {provider!r}; there are: {accepted}.", provider=provider)

    def _state(self, provider: str) -> tuple[Status, Circuit]:
        circuit = self.circuit(provider)
        return self._status(provider, circuit), circuit

    def _status(self, provider: str, circuit: Circuit) -> Status:
        if provider in self._missing_keys:
            return Status.NOT_CONFIGURED
        is_down = circuit is Circuit.OPEN and self._breakers.is_down(provider)
        if is_down and not self._answers_since(provider):
            return Status.DOWN
        pulse, probe = self._vitals.pulse(provider), self._probe(provider)
        failing = pulse.error_rate() >= DEGRADED_ERROR_RATE or (probe is not None and probe[1] is not None)
        if circuit is not Circuit.CLOSED or failing:
            return Status.DEGRADED
        return Status.HEALTHY if pulse.samples or probe else Status.UNKNOWN

    def _solution(self, provider: str, status: Status) -> str:
        if status is Status.NOT_CONFIGURED:
            return self._missing_keys[provider]
        if status not in (Status.DOWN, Status.DEGRADED):
            return ""
        probe = self._probe(provider)
        solution = probe[1].solution if probe and probe[1] else self._vitals.pulse(provider).last_solution
        models = sorted({breaker.model for breaker in self._breakers.shut(provider) if breaker.model})
        return f"{solution} Left alone for now: {', '.join(models[:MOST_NAMED])}.".lstrip() if models else solution

    def _answers_since(self, provider: str) -> bool:
        """One of its models answered after the last of its circuits had opened."""
        opened = max((breaker.opened_at or 0.0 for breaker in self._breakers.shut(provider)), default=0.0)
        answered = self._vitals.pulse(provider).last_success_at
        return answered is not None and answered > (self._wall(opened) or 0.0)

    def _probe(self, provider: str) -> tuple[float, GatewayError | None] | None:
        """The last probe, unless it is stale or an answer came after it."""
        probe = self._probes.get(provider)
        if probe is None or self._now() - probe[0] > WINDOW_SECONDS:
            return None
        answered = self._vitals.pulse(provider).last_success_at
        return None if answered is not None and answered > probe[0] else probe

    def _wall(self, moment: float | None) -> float | None:
        return None if moment is None else self._now() + moment - self._clock()


class _Watch:
    """Somebody who watches: what was shown of each provider, and the reports not read yet."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.shown: dict[str, tuple[Status, Circuit]] = {}
        self.reports: deque[Report] = deque(maxlen=MOST_CHANGES)


def _rank(breaker: Breaker) -> tuple[int, float, int]:
    return WORST_FIRST.index(breaker.circuit), breaker.retry_at or 0.0, -breaker.consecutive_failures
