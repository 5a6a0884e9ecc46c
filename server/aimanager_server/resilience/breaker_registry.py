"""Keeps a circuit for each target and key, so that a failing provider is cut off no wider than it fails."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

import structlog

from ..core.handler import Clock
from ..core.request import CALLER_KEY_ID
from ..telemetry.provider_stats import Circuit
from .circuit_breaker import Breaker, Rules

__all__ = ["MOST_BREAKERS", "Breaker", "Breakers", "Rules"]

MOST_BREAKERS = 10_000


class Breakers:
    """A circuit for each provider, model and key, and one (model "") for what each key opens at a provider."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self.rules = rules
        self._clock = clock
        self._breakers: OrderedDict[tuple[str, str, str], Breaker] = OrderedDict()
        self._keys: dict[str, set[str]] = {}
        self._shut: dict[str, dict[Breaker, None]] = {}
        self._probed: Collection[str] = ()
        self._listeners: list[Callable[[str], None]] = []
        self._log = structlog.get_logger()

    def listen(self, moved: Callable[[str], None]) -> None:
        """Have `moved` told the provider whenever one of its circuits opens, half-opens or closes."""
        self._listeners.append(moved)

    def hand_over(self, providers: Collection[str]) -> None:
        """Somebody probes these providers: circuits made from now on wait for that instead of a time."""
        self._probed = providers

    def of(self, provider: str, model: str = "", key_id: str = "") -> Breaker:
        """The circuit, made on first use; memory is bounded, the least recently used closed one goes first."""
        place = (provider, model, key_id)
        breaker = self._breakers.get(place)
        if breaker is not None:
            self._breakers.move_to_end(place)
            return breaker
        if len(self._breakers) >= MOST_BREAKERS:
            self._forget_one()
        breaker = Breaker(self.rules, self._clock, place, self._moved, is_probed=provider in self._probed)
        self._breakers[place] = breaker
        self._keys.setdefault(provider, set()).add(key_id)
        return breaker

    def known(self, provider: str) -> Iterator[Breaker]:
        """Every circuit of a provider that was used so far."""
        return (breaker for breaker in tuple(self._breakers.values()) if breaker.provider == provider)

    def shut(self, provider: str) -> tuple[Breaker, ...]:
        """The provider's circuits that are open or half-open, in the order in which they opened."""
        return tuple(self._shut.get(provider, ()))

    def waiting(self, provider: str) -> tuple[Breaker, ...]:
        """The provider's circuits that wait for a probe."""
        return tuple(breaker for breaker in self.shut(provider) if breaker.waits)

    def answers(self, provider: str, model: str | None = None) -> None:
        """A probe was answered, for one model or for all."""
        for breaker in self.waiting(provider):
            if model is None or breaker.model == model:
                breaker.answers()

    def is_open(self, provider: str, model: str) -> bool:
        """Whether a call to the model would be refused now, whichever of the server's keys it took."""
        return self._all(provider, model, lambda breaker: breaker.refuses)

    def is_down(self, provider: str) -> bool:
        """Whether a model cannot be asked there, since its circuits are open for every key of the server's."""
        models = {breaker.model for breaker in self.shut(provider) if breaker.circuit is Circuit.OPEN}
        return any(self._all(provider, model, lambda breaker: breaker.circuit is Circuit.OPEN) for model in models)

    def _all(self, provider: str, model: str, stops: Callable[[Breaker], bool]) -> bool:
        """Callers' own keys count where the server's were never used, a call without a key where none has one."""
        used = self._keys.get(provider, set())
        keys = used - {CALLER_KEY_ID, ""} or used - {CALLER_KEY_ID} or used
        return bool(keys) and all(
            any(breaker is not None and stops(breaker) for breaker in self._of_key(provider, model, key))
            for key in keys
        )

    def _of_key(self, provider: str, model: str, key_id: str) -> Iterator[Breaker | None]:
        return (self._breakers.get((provider, name, key_id)) for name in ("", model))

    def _forget_one(self) -> None:
        closed = next((place for place, one in self._breakers.items() if one.retry_at is None), None)
        place = closed or next(iter(self._breakers))
        breaker, shut = self._breakers.pop(place), self._shut.get(place[0], {})
        if breaker in shut:
            del shut[breaker]
            for moved in self._listeners:
                moved(place[0])

    def _moved(self, breaker: Breaker, reason: str) -> None:
        place = (breaker.provider, breaker.model, breaker.key_id)
        if self._breakers.get(place) is not breaker:
            return  # forgotten, though calls through it are still under way
        circuit, shut = breaker.circuit, self._shut.setdefault(breaker.provider, {})
        if circuit is Circuit.CLOSED:
            shut.pop(breaker, None)
        else:
            shut[breaker] = None
        self._tell(breaker, circuit, reason)
        for moved in self._listeners:
            moved(breaker.provider)

    def _tell(self, breaker: Breaker, circuit: Circuit, reason: str) -> None:
        facts = {"provider": breaker.provider, "model": breaker.model, "key": breaker.key_id}
        if circuit is not Circuit.OPEN:
            self._log.info("circuit.closed" if circuit is Circuit.CLOSED else "circuit.half_opened", **facts)
            return
        seconds = round((breaker.retry_at or 0.0) - (breaker.opened_at or 0.0), 3)
        self._log.warning("circuit.opened", reason=reason, seconds=seconds, **facts)
