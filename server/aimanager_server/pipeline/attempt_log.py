"""Tells what one asking of a target came to. What lies further inside may have tried more than once, and says so."""

from __future__ import annotations

from ..core.attempts import AttemptRecord
from ..core.errors import GatewayError
from ..core.request import Target
from ..core.response import ResponseStream


def of_failure(fault: GatewayError, target: Target, seconds: float) -> tuple[AttemptRecord, ...]:
    """The tries that ended in a fault, with what the last took."""
    return fault.attempts or (AttemptRecord(*target.key, fault.reason, seconds, fault.usage, fault.cost),)


def of_answer(reply: ResponseStream, target: Target, seconds: float) -> tuple[AttemptRecord, ...]:
    """The tries that ended in an answer, the one that answers last."""
    return reply.metadata.attempts or (AttemptRecord(*target.key, "", seconds),)
