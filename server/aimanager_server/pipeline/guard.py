"""Keeps calls away from a provider that fails, and learns from every outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..call import Call
from ..errors import CircuitOpen, DeadlineExceeded
from ..fault import Fault
from ..handler import Clock, Handler
from ..reply import Event, Finished, Reply
from ..state.breaker import Breaker, Breakers
from ..state.vitals import Vitals


class Guard:
    """A circuit breaker around one target. Caller faults say nothing about a provider and are not counted."""

    def __init__(self, breakers: Breakers, vitals: Vitals, clock: Clock) -> None:
        self._breakers = breakers
        self._vitals = vitals
        self._clock = clock

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        """Raise CircuitOpen where a circuit is open, else proceed and record how it went."""
        trial = _Trial(self._circuits(call), self._breakers, self._vitals, call, self._clock)
        trial.admit()
        try:
            reply = await proceed(call)
        except Fault as fault:
            trial.failed(fault)
            raise
        except BaseException:
            trial.abandoned()
            raise
        trial.began()

        async def watched(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
            try:
                async for event in events:
                    if isinstance(event, Finished):
                        trial.succeeded()
                    yield event
            except Fault as fault:
                trial.failed(fault)
                raise

        async def close() -> None:
            trial.abandoned()
            await reply.aclose()

        return Reply(reply.head, watched(aiter(reply)), close)

    def _circuits(self, call: Call) -> tuple[Breaker, ...]:
        target = call.target
        model = self._breakers.of(target.provider, target.model)
        if target.provider in call.caller.provider_keys:
            return (model,)
        return (self._breakers.of(target.provider), model)


class _Trial:
    """One call's way through its circuits; the first outcome told is the one that counts."""

    __slots__ = ("_began_at", "_breakers", "_call", "_circuits", "_clock", "_open", "_vitals")

    def __init__(
        self, circuits: tuple[Breaker, ...], breakers: Breakers, vitals: Vitals, call: Call, clock: Clock
    ) -> None:
        self._circuits = circuits
        self._breakers = breakers
        self._vitals = vitals
        self._call = call
        self._clock = clock
        self._began_at = clock()
        self._open = True

    def admit(self) -> None:
        for index, circuit in enumerate(self._circuits):
            wait = circuit.admit()
            if wait is None:
                continue
            for passed in self._circuits[:index]:
                passed.abandoned()
            target = self._call.target
            raise CircuitOpen(
                f"Provider {target.provider!r} failed too often and is left alone for {wait:.0f} more seconds.",
                provider=target.provider,
                model=target.model,
                retry_after=wait,
            )

    def began(self) -> None:
        for circuit in self._circuits:
            circuit.began()

    def succeeded(self) -> None:
        if self._settle():
            for circuit in self._circuits:
                circuit.succeeded()
            self._vitals.answered(self._call.target.provider, self._clock() - self._began_at)

    def failed(self, fault: Fault) -> None:
        if not self._settle():
            return
        provider = self._call.target.provider
        own_key = provider in self._call.caller.provider_keys
        by_deadline = isinstance(fault.__cause__, DeadlineExceeded)
        if fault.row.breaker == "ignore" or by_deadline or (fault.row.breaker == "open" and own_key):
            self._give_back()
            return
        if fault.row.breaker == "open":
            self._breakers.of(provider).open(self._breakers.rules.longest_open)
            self._give_back()
        else:
            self._circuits[-1].failed()
            for circuit in self._circuits[:-1]:
                circuit.abandoned()
        self._vitals.failed(provider, fault.reason, fault.solution)

    def abandoned(self) -> None:
        if self._settle():
            self._give_back()

    def _settle(self) -> bool:
        was_open, self._open = self._open, False
        return was_open

    def _give_back(self) -> None:
        for circuit in self._circuits:
            circuit.abandoned()
