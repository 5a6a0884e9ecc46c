"""Asks again while the caller has seen nothing, within the deadline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from ..call import Call
from ..fault import Fault
from ..handler import Clock, Handler
from ..reply import Attempt as Try
from ..reply import Reply

LEAST_USEFUL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Policy:
    """How often one target is asked, and its pauses in seconds; advice above `longest` is not waited for."""

    attempts: int = 3
    base: float = 0.25
    longest: float = 120.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask the same target again after `wait` seconds."""

    wait: float


@dataclass(frozen=True, slots=True)
class Next:
    """Ask the next target."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Report the first fault."""


Verdict = Retry | Next | GiveUp


def decide(fault: Fault, tries: int, others: int, left: float, policy: Policy, jitter: float) -> Verdict:
    """What to do about a fault that came before the first content.

    `tries` is how often this target was asked, `others` how many targets are left, `left` the seconds to the deadline,
    `jitter` a random number from 0 to 1. Another target is free of any wait, so advice to wait makes it the next.
    """
    may_move = others > 0 and fault.row.fallback == "next"
    advice = fault.retry_after
    if fault.row.retry and tries < policy.attempts and not (may_move and advice):
        wait = policy.base * 2 ** (tries - 1) * jitter if advice is None else advice
        if wait <= policy.longest and wait + LEAST_USEFUL_SECONDS <= left:
            return Retry(wait)
    return Next() if may_move and left > LEAST_USEFUL_SECONDS else GiveUp()


class Attempt:
    """Retries each target in turn; when all fail, the first fault is raised with every attempt listed."""

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._pause = pause
        self._random = random

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        """The first answer that begins."""
        attempts: list[Try] = []
        first: Fault | None = None
        for position, target in enumerate(call.targets):
            others = len(call.targets) - position - 1
            narrowed = call.at(target) if others or position else call
            tries = 0
            while True:
                tries += 1
                began = self._clock()
                try:
                    reply = await proceed(narrowed)
                except Fault as fault:
                    first = first or fault
                    # What lies inside may have tried more than once by itself, and says so.
                    one = Try(target.provider, target.model, fault.reason, self._clock() - began)
                    attempts.extend(fault.attempts or (one,))
                    left = call.deadline - self._clock()
                    verdict = decide(fault, tries, others, left, self._policy, self._random())
                else:
                    one = Try(target.provider, target.model, "", self._clock() - began)
                    attempts.extend(reply.head.attempts or (one,))
                    return reply.headed(replace(reply.head, attempts=tuple(attempts)))
                if not isinstance(verdict, Retry):
                    break
                with call.away.waiting():
                    await self._pause(verdict.wait)
            if isinstance(verdict, GiveUp):
                break
        assert first is not None
        first.attempts = tuple(attempts)
        raise first
