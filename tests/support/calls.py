"""Resolved calls and attempts for tests of layers, providers and mechanisms."""

from __future__ import annotations

from typing import Any

from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.core.usage import Cost, Usage

TARGET = Target("mock", "mock-large")


def make_call(
    text: str = "Hi", *, targets: tuple[Target, ...] = (TARGET,), deadline: float = 2000.0, **fields: Any
) -> Call:
    """Return a resolved call with one user message."""
    messages = (Message(Role.USER, (Text(text),)),)
    fields.setdefault("caller", Caller("ann", "free"))
    fields.setdefault("requested_model", "mock/latest")
    return Call(id="call-1", messages=messages, targets=targets, deadline=deadline, **fields)


def make_attempt(
    call: Call | None = None, *, target: Target | None = None, started_at: float = 1000.0, **fields: Any
) -> Attempt[Any]:
    """Return an attempt at the call's first target, or at `target`. Its record is in the call's log."""
    call = call or make_call()
    fields.setdefault("is_streamed", call.streaming)
    return Attempt.of(call, target or call.target, started_at, **fields)


def ended_record(
    provider: str,
    model: str,
    error_reason: str = "",
    seconds: float = 0.0,
    usage: Usage | None = None,
    cost: Cost | None = None,
) -> AttemptRecord:
    """Return the record of an attempt that ended after `seconds`."""
    record = AttemptRecord(provider, model, 1000.0)
    record.end(1000.0 + seconds, error_reason, usage, cost)
    return record
