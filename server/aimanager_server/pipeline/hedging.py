"""Asks a second target where the first is slower than mostly; the first to answer wins, the other is called off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from ..core.attempts import CANCELLED, AttemptRecord
from ..core.errors import GatewayError
from ..core.handler import Clock, Handler
from ..core.request import Call, UpstreamTimer
from ..core.response import ResponseStream
from ..telemetry.metrics import Metrics
from .attempt_log import of_answer, of_failure

ONE = 1.0 - 1e-9
"""What a second asking costs; sums of shares come out a little below."""

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

    async def __call__(self, call: Call, other: Call, proceed: Handler) -> ResponseStream:
        """The answer that begins first. Where both fail, raises the fault of the first, with both attempts."""
        self._saved = min(self._saved + self._racing.share, 1.0)
        target = call.target
        typical = self._typical(target.provider, target.model)
        if typical is None or self._saved < ONE:
            return await proceed(call)
        async with _Race(self._clock, proceed) as race:
            race.start(call)
            # Others may have spent the share meanwhile: a target that is slow is slow for all of them.
            if not await race.first_within(max(typical, self._racing.least)) and self._saved >= ONE:
                self._saved -= 1.0
                self._metrics.outcomes(target.provider, target.model).hedges.inc()
                race.start(replace(other, upstream_timer=UpstreamTimer()))  # two waits at once would be counted as one
            return await race.won()


@dataclass(frozen=True, slots=True)
class _Runner:
    """One of two askings."""

    call: Call
    began: float
    task: asyncio.Task[ResponseStream]


class _Race:
    """The runners of one call. Leaving it puts down every answer but the one that was handed out."""

    def __init__(self, clock: Clock, proceed: Handler) -> None:
        self._clock = clock
        self._proceed = proceed
        self._runners: list[_Runner] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._runners:
            return  # without a pause: a cancel in it would lose the answer that is handed out
        # To its end even where the call is cancelled meanwhile: an answer that nobody closes holds its place for ever.
        await asyncio.shield(asyncio.ensure_future(_put_down([runner.task for runner in self._runners])))

    def start(self, call: Call) -> None:
        """Let one more run."""

        async def run() -> ResponseStream:
            return await self._proceed(call)

        self._runners.append(_Runner(call, self._clock(), asyncio.create_task(run())))

    async def first_within(self, seconds: float) -> bool:
        """Whether the runner is done by then, one way or another."""
        done, _ = await asyncio.wait([runner.task for runner in self._runners], timeout=seconds)
        return bool(done)

    async def won(self) -> ResponseStream:
        """The first answer, the other one called off. Raises the first runner's fault where there is none."""
        lost: list[_Runner] = []
        while len(lost) < len(self._runners):
            waited = [runner.task for runner in self._runners if runner not in lost]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            lost += [one for one in self._runners if one not in lost and one.task.done() and one.task.exception()]
            winner = next((one for one in self._runners if one.task.done() and one not in lost), None)
            if winner is not None:
                return await self._told(winner, lost)
        fault = self._runners[0].task.exception()
        assert fault is not None
        if isinstance(fault, GatewayError) and len(lost) > 1:
            fault.attempts = tuple(try_ for runner in lost for try_ in self._failed(runner))
        raise fault

    async def _told(self, winner: _Runner, lost: Sequence[_Runner]) -> ResponseStream:
        others = [runner for runner in self._runners if runner is not winner and runner not in lost]
        await _put_down([runner.task for runner in others])
        reply = winner.task.result()
        self._runners[0].call.upstream_timer.seconds = max(
            runner.call.upstream_timer.seconds for runner in self._runners
        )
        self._runners = []  # handed out: from here on it is the caller's to close
        if not lost and not others:
            return reply
        before = [try_ for runner in lost for try_ in self._failed(runner)] + list(map(self._called_off, others))
        own = of_answer(reply, winner.call.target, self._clock() - winner.began)
        return reply.with_metadata(replace(reply.metadata, attempts=(*before, *own)))

    def _failed(self, runner: _Runner) -> tuple[AttemptRecord, ...]:
        fault = runner.task.exception()
        return (
            of_failure(fault, runner.call.target, self._clock() - runner.began)
            if isinstance(fault, GatewayError)
            else ()
        )

    def _called_off(self, runner: _Runner) -> AttemptRecord:
        entries = [
            one for one in runner.call.usage_ledger.entries if (one.provider, one.model) == runner.call.target.key
        ]
        attempt = AttemptRecord(*runner.call.target.key, CANCELLED, self._clock() - runner.began)
        return replace(attempt, usage=entries[-1].usage, cost=entries[-1].cost) if entries else attempt


async def _put_down(tasks: Sequence[asyncio.Task[ResponseStream]]) -> None:
    """Cancel whoever still runs, wait until it has let go, and close an answer that came all the same."""
    for task in tasks:
        task.cancel()
    for late in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(late, ResponseStream):
            await late.aclose()
