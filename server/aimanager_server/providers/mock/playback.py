"""How the mock provider says an answer: token by token, at its pace, and with the trouble it was told to have."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from ...core.errors import DeadlineExceeded, GatewayError, ProviderProtocolError, StreamInterrupted
from ...core.handler import Clock
from ...core.request import Call
from ...core.response import Event, PartCompleted
from ...core.usage import Usage
from .answers import Answer
from .script import Script


class Pauses:
    """Waits of seconds that end with the deadline. `clock` is the one that deadlines are on, `sleep` waits on it."""

    def __init__(self, clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._sleep = sleep

    async def take(self, seconds: float | None, call: Call) -> bool:
        """Wait, where None is for ever; whether the deadline had not come by then."""
        left = call.deadline - self._clock()
        wait = left if seconds is None else min(seconds, left)
        with call.upstream_timer.measure():
            if wait > 0:
                await self._sleep(wait)
        return seconds is not None and seconds < left


class Saying:
    """One answer on its way. `number` tells which call with this prompt it is, `rate` is in tokens per second."""

    def __init__(self, call: Call, script: Script, answer: Answer, number: int, rate: float | None) -> None:
        self._call = call
        self._answer = answer
        self._cut = script.cut if script.cut and script.cut.befalls(number) else None
        self._stall = script.stall if script.stall and script.stall.befalls(number) else None
        self._rate = rate
        self._said = 0

    def spent(self) -> Usage:
        """What the tokens said so far took."""
        is_whole = self._said == sum(not isinstance(event, PartCompleted) for event in self._answer.events)
        return self._answer.finished.usage if is_whole else self._answer.usage(self._said)

    async def events(self, pauses: Pauses) -> AsyncGenerator[Event, None]:
        """All of it. Raises as scripted, and where the deadline passes."""
        for event in self._answer.events:
            if not isinstance(event, PartCompleted):
                await self._trouble(pauses, at_end=False)
                if not await pauses.take(1 / self._rate if self._rate and self._said else 0.0, self._call):
                    raise self._late()
                self._said += 1
            yield event
        await self._trouble(pauses, at_end=True)
        yield self._answer.finished

    async def _trouble(self, pauses: Pauses, *, at_end: bool) -> None:
        if self._cut is not None and (at_end or self._said == self._cut.after):
            raise self._lost()
        stall = self._stall
        if stall is not None and (at_end or self._said == stall.after):
            self._stall = None
            if not await pauses.take(stall.seconds, self._call):
                raise self._late()

    def _lost(self) -> GatewayError:
        if self._is_seen():
            return self._interrupted("it was cut")
        target = self._call.target
        return ProviderProtocolError("The mock provider cut its answer.", provider=target.provider, model=target.model)

    def _late(self) -> GatewayError:
        if not self._is_seen():
            return too_late(self._call)
        fault = self._interrupted("the deadline passed")
        fault.__cause__ = too_late(self._call)
        return fault

    def _is_seen(self) -> bool:
        return self._call.is_upstream_streamed and self._said > 0

    def _interrupted(self, why: str) -> StreamInterrupted:
        target = self._call.target
        message = f"The mock provider's answer broke off after {self._said} tokens: {why}."
        fault = StreamInterrupted(message, provider=target.provider, model=target.model)
        fault.usage = self._answer.usage(self._said)
        return fault


def too_late(call: Call) -> DeadlineExceeded:
    """The deadline has passed, and nothing was said."""
    target = call.target
    message = "The deadline passed before the mock provider had answered."
    return DeadlineExceeded(message, provider=target.provider, model=target.model)
