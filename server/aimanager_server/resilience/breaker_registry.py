"""Keeps one circuit breaker per provider, model and API key, so that a failure blocks no more than it affects."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

from ..config.resilience import CircuitBreakerSettings, RetrySettings
from ..core.handler import Clock
from ..core.request import CALLER_KEY_ID
from ..telemetry.logger import get_logger
from .circuit_breaker import CircuitBreaker, CircuitState

MAX_BREAKERS = 10_000


class BreakerRegistry:
    """Circuit breakers by (provider, model, key id). The breaker with model "" covers all models of a key."""

    def __init__(self, settings: CircuitBreakerSettings, retry: RetrySettings, clock: Clock) -> None:
        self.settings = settings
        self._retry = retry
        self._clock = clock
        self._breakers: OrderedDict[tuple[str, str, str], CircuitBreaker] = OrderedDict()
        self._key_ids: dict[str, set[str]] = {}
        self._not_closed: dict[str, dict[CircuitBreaker, None]] = {}
        self._probed_providers: Collection[str] = ()
        self._subscribers: list[Callable[[str], None]] = []
        self._log = get_logger()

    @property
    def entries(self) -> int:
        """Number of circuit breakers."""
        return len(self._breakers)

    def subscribe(self, on_transition: Callable[[str], None]) -> None:
        """Call `on_transition` with the provider whenever one of its breakers opens, half-opens or closes."""
        self._subscribers.append(on_transition)

    def delegate_probing(self, providers: Collection[str]) -> None:
        """Leave recovery of these providers to probes, and of all others to trial calls."""
        self._probed_providers = providers
        for breaker in self._breakers.values():
            breaker.delegate_probing(breaker.provider in providers)

    def reconfigure(self, settings: CircuitBreakerSettings, retry: RetrySettings) -> None:
        """Change the settings of all breakers. Their states stay."""
        self.settings = settings
        self._retry = retry
        for breaker in self._breakers.values():
            breaker.reconfigure(settings, retry)

    def forget(self, provider: str, key_ids: Collection[str] | None = None) -> None:
        """Drop the breakers of a provider, or only those of some keys: what they know is about a previous one."""
        key_ids = self._key_ids.get(provider, set()) if key_ids is None else key_ids
        for scope in [scope for scope in self._breakers if scope[0] == provider and scope[2] in key_ids]:
            self._not_closed.get(provider, {}).pop(self._breakers.pop(scope), None)
        self._key_ids.get(provider, set()).difference_update(key_ids)
        self._notify(provider)

    def get(self, provider: str, model: str = "", key_id: str = "") -> CircuitBreaker:
        """Return the breaker, created on first use.

        Above MAX_BREAKERS the least recently used closed breaker is dropped.
        """
        scope = (provider, model, key_id)
        breaker = self._breakers.get(scope)
        if breaker is not None:
            self._breakers.move_to_end(scope)
            return breaker
        if len(self._breakers) >= MAX_BREAKERS:
            self._evict_one()
        is_probed = provider in self._probed_providers
        breaker = CircuitBreaker(
            self.settings, self._retry, self._clock, scope, self._on_transition, is_probed=is_probed
        )
        self._breakers[scope] = breaker
        self._key_ids.setdefault(provider, set()).add(key_id)
        return breaker

    def all(self, provider: str) -> Iterator[CircuitBreaker]:
        """Return every breaker of a provider that was used so far."""
        return (breaker for breaker in tuple(self._breakers.values()) if breaker.provider == provider)

    def not_closed(self, provider: str) -> tuple[CircuitBreaker, ...]:
        """Return the provider's open and half-open breakers, in the order in which they opened."""
        return tuple(self._not_closed.get(provider, ()))

    def awaiting_probe(self, provider: str) -> tuple[CircuitBreaker, ...]:
        """Return the provider's breakers that stay open until a probe succeeds."""
        return tuple(breaker for breaker in self.not_closed(provider) if breaker.awaiting_probe)

    def probe_succeeded(self, provider: str, model: str | None = None) -> None:
        """Half-open the breakers that await a probe, of one model or of all."""
        for breaker in self.awaiting_probe(provider):
            if model is None or breaker.model == model:
                breaker.probe_succeeded()

    def rejects_calls(self, provider: str, model: str) -> bool:
        """Return whether a call to the model would be rejected now with each of the server's keys."""
        return self._applies_to_all_keys(provider, model, lambda breaker: breaker.rejects_calls)

    def all_keys_open(self, provider: str) -> bool:
        """Return whether at least one model of the provider has an open breaker for each of the server's keys."""

        def is_open(breaker: CircuitBreaker) -> bool:
            return breaker.state is CircuitState.OPEN

        models = {breaker.model for breaker in self.not_closed(provider) if is_open(breaker)}
        return any(self._applies_to_all_keys(provider, model, is_open) for model in models)

    def _applies_to_all_keys(self, provider: str, model: str, condition: Callable[[CircuitBreaker], bool]) -> bool:
        """Check the keys used so far: the server's, else the callers' own, else calls without a key."""
        used = self._key_ids.get(provider, set())
        key_ids = used - {CALLER_KEY_ID, ""} or used - {CALLER_KEY_ID} or used
        return bool(key_ids) and all(
            any(breaker is not None and condition(breaker) for breaker in self._covering(provider, model, key_id))
            for key_id in key_ids
        )

    def _covering(self, provider: str, model: str, key_id: str) -> Iterator[CircuitBreaker | None]:
        return (self._breakers.get((provider, name, key_id)) for name in ("", model))

    def _evict_one(self) -> None:
        closed = next((scope for scope, breaker in self._breakers.items() if breaker.retry_at is None), None)
        scope = closed or next(iter(self._breakers))
        breaker, not_closed = self._breakers.pop(scope), self._not_closed.get(scope[0], {})
        if breaker in not_closed:
            del not_closed[breaker]
            self._notify(scope[0])

    def _on_transition(self, breaker: CircuitBreaker, reason: str) -> None:
        scope = (breaker.provider, breaker.model, breaker.key_id)
        if self._breakers.get(scope) is not breaker:
            return  # evicted while calls through it were in flight
        state, not_closed = breaker.state, self._not_closed.setdefault(breaker.provider, {})
        if state is CircuitState.CLOSED:
            not_closed.pop(breaker, None)
        else:
            not_closed[breaker] = None
        self._log_transition(breaker, state, reason)
        self._notify(breaker.provider)

    def _notify(self, provider: str) -> None:
        for on_transition in self._subscribers:
            on_transition(provider)

    def _log_transition(self, breaker: CircuitBreaker, state: CircuitState, reason: str) -> None:
        fields = {"provider": breaker.provider, "model": breaker.model, "key_id": breaker.key_id}
        if state is CircuitState.OPEN:
            open_seconds = round((breaker.retry_at or 0.0) - (breaker.opened_at or 0.0), 3)
            self._log.warning("circuit_breaker.opened", reason=reason, open_seconds=open_seconds, **fields)
        elif state is CircuitState.HALF_OPEN:
            self._log.info("circuit_breaker.half_opened", **fields)
        else:
            self._log.info("circuit_breaker.closed", **fields)
