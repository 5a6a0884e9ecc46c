"""Keeps the calls at one provider within what its operator allows at once."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.errors import Overloaded
from ..core.handler import Clock, Handler
from ..core.request import Call
from ..core.response import ResponseStream
from ..resilience.concurrency_limiter import Gate

COME_AGAIN_SECONDS = 1.0


class Places:
    """Makes a call wait a moment where its provider has `most` (by provider) under way, then turns it away.

    It holds its place until the reply ended or was closed. Providers without a number are not limited. `clock` is the
    one that `Call.deadline` is on.
    """

    def __init__(self, most: Mapping[str, int], queue_length: int, queue_seconds: float, clock: Clock) -> None:
        self._most = dict(most)
        self._gates = {provider: Gate(places, queue_length, queue_seconds) for provider, places in most.items()}
        self._clock = clock

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Raise Overloaded where no place came free in time, else proceed."""
        gate = self._gates.get(call.target.provider)
        if gate is None:
            return await proceed(call)
        if not gate.enter(call.caller.name):
            await self._wait(gate, call)
        place = _Place(gate, call.caller.name)
        try:
            reply = await proceed(call)
        except BaseException:
            place.leave()
            raise

        return reply.on_end(place.leave)

    async def _wait(self, gate: Gate, call: Call) -> None:
        with call.upstream_timer.measure():
            entered = await gate.wait(call.caller.name, call.deadline - self._clock())
        if not entered:
            provider = call.target.provider
            raise Overloaded(
                f"Provider {provider!r} has {self._most[provider]} calls under way, which is all that it may have.",
                solution="Send the call again, or have the operator raise max_in_flight of the provider.",
                provider=provider,
                model=call.target.model,
                retry_after=COME_AGAIN_SECONDS,
            )


class _Place:
    """One place, given back once."""

    __slots__ = ("_gate", "_name")

    def __init__(self, gate: Gate, name: str) -> None:
        self._gate: Gate | None = gate
        self._name = name

    def leave(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave(self._name)
