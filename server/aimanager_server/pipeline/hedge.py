"""Asks a second target where the first is slower than mostly; the first to answer wins, the other is called off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..call import Call, Stopwatch
from ..fault import Fault
from ..handler import Clock, Handler
from ..metrics import Metrics
from ..reply import Attempt, Reply

ONE = 1.0 - 1e-9
"""What a second asking costs; sums of shares come out a little below."""

CALLED_OFF = "CANCELLED"
"""How the attempt that lost is told from one that failed."""

Typical = Callable[[str, str], float | None]
"""Seconds in which 95 % of the answers of a provider's model begin; None where too few were seen."""


@dataclass(frozen=True, slots=True)
class Racing:
    """How much of the traffic may be asked twice (`share`, 0 to 1), and after how many seconds at the least."""

    share: float
    least: float


class Hedge:
    """Races two targets for one call, within its share of the traffic. What both took is entered in the ledger."""

    def __init__(self, racing: Racing, typical: Typical, metrics: Metrics, clock: Clock) -> None:
        self._racing = racing
        self._typical = typical
        self._metrics = metrics
        self._clock = clock
        self._saved = 0.0

    async def __call__(self, call: Call, other: Call, proceed: Handler) -> Reply:
        """The answer that begins first. Where both fail, raises the fault of the first, with both attempts."""
        self._saved = min(self._saved + self._racing.share, 1.0)
        typical = self._typical(call.target.provider, call.target.model)
        if typical is None or self._saved < ONE:
            return await proceed(call)
        race = _Race(self._clock, proceed)
        try:
            race.start(call)
            if not await race.first_within(max(typical, self._racing.least)):
                self._saved -= 1.0
                self._metrics.outcomes(call.target.provider, call.target.model).hedges.inc()
                race.start(replace(other, away=Stopwatch()))  # two waits at once would be counted as one
            return await race.winner()
        finally:
            await race.call_off()


class _Race:
    """The runners of one call."""

    def __init__(self, clock: Clock, proceed: Handler) -> None:
        self._clock = clock
        self._proceed = proceed
        self._runners: dict[asyncio.Task[Reply], tuple[Call, float]] = {}
        self._lost: list[Attempt] = []
        self._won: asyncio.Task[Reply] | None = None
        self._is_over = False

    def start(self, call: Call) -> None:
        """Let one more run."""

        async def run() -> Reply:
            return await self._proceed(call)

        self._runners[asyncio.create_task(run())] = (call, self._clock())

    async def first_within(self, seconds: float) -> bool:
        """Whether the runner is done by then, one way or another."""
        done, _ = await asyncio.wait(self._runners, timeout=seconds)
        return bool(done)

    async def winner(self) -> Reply:
        """The first answer. Raises the first runner's fault where there is none."""
        running = set(self._runners)
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for runner in sorted(done, key=list(self._runners).index):
                if runner.exception() is None:
                    self._won = runner
                    return await self._told(runner)
                self._failed(runner)
        fault = next(iter(self._runners)).exception()
        assert fault is not None
        if isinstance(fault, Fault) and len(self._runners) > 1:
            fault.attempts = tuple(self._lost)
        raise fault

    async def call_off(self) -> None:
        """Cancel whoever still runs, wait until it has let go, and close an answer that came too late."""
        others = [] if self._is_over else [runner for runner in self._runners if runner is not self._won]
        self._is_over = True
        for runner in others:
            runner.cancel()
        for late in await asyncio.gather(*others, return_exceptions=True):
            if isinstance(late, Reply):
                await late.aclose()

    def _failed(self, runner: asyncio.Task[Reply]) -> None:
        fault = runner.exception()
        if isinstance(fault, Fault):
            self._lost.extend(fault.attempts or (self._attempt(runner, fault.reason),))

    async def _told(self, runner: asyncio.Task[Reply]) -> Reply:
        reply = runner.result()
        late = [other for other in self._runners if other is not runner and not (other.done() and other.exception())]
        await self.call_off()
        own = reply.head.attempts or (self._attempt(runner, ""),)
        called_off = [self._called_off(other) for other in late]
        if not self._lost and not called_off:
            return reply
        return reply.headed(replace(reply.head, attempts=(*self._lost, *own, *called_off)))

    def _called_off(self, runner: asyncio.Task[Reply]) -> Attempt:
        attempt, call = self._attempt(runner, CALLED_OFF), self._runners[runner][0]
        target = call.target
        entries = [one for one in call.ledger.entries if (one.provider, one.model) == (target.provider, target.model)]
        if not entries:
            return attempt
        return replace(attempt, usage=entries[-1].usage, cost=entries[-1].cost)

    def _attempt(self, runner: asyncio.Task[Reply], reason: str) -> Attempt:
        call, began = self._runners[runner]
        return Attempt(call.target.provider, call.target.model, reason, self._clock() - began)
