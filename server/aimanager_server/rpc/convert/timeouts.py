"""Reads how a client bears with a provider: how long it waits for one that is silent, or that breaks off."""

from __future__ import annotations

from aimanager.v1 import generation_pb2

from .fields import accepted, refused, said

NANOS = 1_000_000_000
RESTARTS: dict[int, bool] = {
    generation_pb2.INTERRUPTION_POLICY_UNSPECIFIED: False,
    generation_pb2.INTERRUPTION_POLICY_FAIL: False,
    generation_pb2.INTERRUPTION_POLICY_RESTART: True,
}


def restarts(policy: int) -> bool:
    """Whether an answer that breaks off may begin again. Raises InvalidRequest, naming `on_interruption`."""
    may_restart = RESTARTS.get(policy)
    if may_restart is None:
        raise refused("on_interruption", f"{policy} {accepted(generation_pb2.InterruptionPolicy)}")
    return may_restart


def patience(request: generation_pb2.GenerateRequest) -> tuple[float | None, float | None]:
    """The seconds to the first content and between two pieces of it, None where nothing was said.

    They are as they were sent: `resolve` knows how long they may be.
    """
    if not request.HasField("patience"):
        return None, None
    return _seconds(request.patience, "first_token"), _seconds(request.patience, "idle")


def _seconds(sent: generation_pb2.Patience, field: str) -> float | None:
    duration = said(sent, field)
    if duration is None:
        return None
    if not 0 <= duration.nanos < NANOS:
        description = (
            f"{duration.seconds} s and {duration.nanos} ns is no duration; accepted are nanos from 0 to 999999999"
        )
        raise refused(f"patience.{field}", description)
    return float(duration.seconds + duration.nanos / NANOS)
