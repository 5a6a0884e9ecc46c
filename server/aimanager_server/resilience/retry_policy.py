"""What to do about a fault, decided in one place: the same target again, the next one, or the fault as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import GatewayError, StreamInterrupted
from ..core.request import Target

LEAST_USEFUL_SECONDS = 0.05
"""With less than this left no provider answers in time."""

SLOW_SECONDS = 1.0
"""A failure that took so long, such as a connection that was not made, is not worth waiting for twice."""

MOST_BREAKS = 1
"""How often a target may break off in one call before it is given up, where no other is left."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often one target is asked, and its pauses in seconds; advice above `longest` is not waited for."""

    attempts: int = 3
    base: float = 0.25
    longest: float = 120.0


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a call stands.

    `tries` is how often this target was asked, `breaks` how often its answer broke off, `heirs` how many others may
    take over, `left` the seconds to the deadline and `took` those that the failure took; `affordable` says whether the
    retry budget would pay for one more.
    """

    tries: int
    heirs: int
    left: float
    affordable: bool = True
    breaks: int = 0
    took: float = 0.0


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


def decide(fault: GatewayError, stand: Stand, policy: Policy, jitter: float) -> Verdict:
    """What to do about a fault of which the caller has seen nothing; `jitter` is a random number from 0 to 1.

    Another target costs no wait, so it is the next where the provider asks to wait, and where its failure took long and
    would do so again. Nothing is waited for that the deadline cuts off.
    """
    if stand.left <= LEAST_USEFUL_SECONDS:
        return GiveUp()
    if isinstance(fault, StreamInterrupted):
        return _after_content(fault, stand, policy)
    advice = fault.retry_after
    is_slow = bool(advice) or stand.took >= SLOW_SECONDS
    if fault.spec.retryable and stand.tries < policy.attempts and stand.affordable and not (stand.heirs and is_slow):
        backoff = policy.base * 2 ** (stand.tries - 1) * jitter
        # On top of advice, so that those who got the same do not come back at the same moment.
        wait = backoff if advice is None else advice + policy.base * jitter
        if (advice or 0.0) <= policy.longest and wait + LEAST_USEFUL_SECONDS <= stand.left:
            return Retry(wait)
    return Next() if stand.heirs else GiveUp()


def heirs(fault: GatewayError, target: Target, others: Sequence[Target]) -> tuple[Target, ...]:
    """Who of the others may be asked after `target` failed so: a column of the table of errors says it.

    What a larger window would hold goes to targets whose window is known to be larger. An answer that broke off for a
    cause that nobody may take over, such as a policy, is nobody's.
    """
    fallback = _decisive(fault).spec.fallback
    if fallback == "next":
        return tuple(others)
    if fallback == "larger":
        return tuple(other for other in others if (other.context_window or 0) > (target.context_window or 0) > 0)
    return ()


def _after_content(fault: GatewayError, stand: Stand, policy: Policy) -> Verdict:
    if stand.heirs:
        return Next()
    may_again = _decisive(fault).spec.fallback == "next" and stand.breaks <= MOST_BREAKS
    return Retry(0.0) if may_again and stand.tries < policy.attempts and stand.affordable else GiveUp()


def _decisive(fault: GatewayError) -> GatewayError:
    """What broke an answer off, where that is known: it says more than that it broke off."""
    cause = fault.__cause__
    return cause if isinstance(fault, StreamInterrupted) and isinstance(cause, GatewayError) else fault
