"""Tells what one asking of a target came to. What lies further inside may have tried more than once, and says so."""

from __future__ import annotations

from ..core.fault import Fault
from ..core.request import Target
from ..core.response import Attempt, Reply


def of_failure(fault: Fault, target: Target, seconds: float) -> tuple[Attempt, ...]:
    """The tries that ended in a fault, with what the last took."""
    return fault.attempts or (Attempt(*target.place, fault.reason, seconds, fault.usage, fault.cost),)


def of_answer(reply: Reply, target: Target, seconds: float) -> tuple[Attempt, ...]:
    """The tries that ended in an answer, the one that answers last."""
    return reply.head.attempts or (Attempt(*target.place, "", seconds),)
