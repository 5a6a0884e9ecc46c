"""Calls, clocks and handlers small enough to pass in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ResponseMetadata,
    ResponseStream,
    TextDelta,
)
from aimanager_server.core.usage import Usage, UsageSource

TARGET = Target("mock", "mock-large")
USAGE = Usage(input_tokens=3, output_tokens=2, source=UsageSource.REPORTED)
END = Finished(FinishReason.STOP, "stop", USAGE)
WHOLE: tuple[Event, ...] = (TextDelta(0, "Hello."), PartCompleted(0, Text("Hello.")), END)


class FakeClock:
    """A clock that moves when told; pausing on it moves it."""

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)


def call(text: str = "Hi", *, targets: tuple[Target, ...] = (TARGET,), deadline: float = 2000.0, **facts: Any) -> Call:
    """A decided question of one user turn."""
    messages = (Message(Role.USER, (Text(text),)),)
    facts.setdefault("caller", Caller("ann", "free"))
    facts.setdefault("requested_model", "mock/latest")
    return Call(id="call-1", messages=messages, targets=targets, deadline=deadline, **facts)


class Upstream:
    """A handler that gives scripted outcomes in turn, the last one for ever: a Fault, or the events of an answer.

    A Fault among the events is raised after those before it.
    """

    def __init__(self, *outcomes: GatewayError | tuple[Event | GatewayError, ...]) -> None:
        self._outcomes = outcomes or (WHOLE,)
        self.calls: list[Call] = []
        self.closed = 0

    async def __call__(self, call: Call) -> ResponseStream:
        outcome = self._outcomes[min(len(self.calls), len(self._outcomes) - 1)]
        self.calls.append(call)
        if isinstance(outcome, GatewayError):
            raise outcome
        target = call.target
        head = ResponseMetadata(call.id, call.requested_model, target.provider, target.model, warnings=target.warnings)
        return ResponseStream(head, _events(outcome), self._close)

    async def _close(self) -> None:
        self.closed += 1


async def _events(outcome: tuple[Event | GatewayError, ...]) -> AsyncIterator[Event]:
    for event in outcome:
        if isinstance(event, GatewayError):
            raise event
        yield event


async def settle(turns: int = 10) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


def labels(registry: Any, name: str, **wanted: str) -> float:
    """The value of one sample of a metrics registry, 0 where it was never touched."""
    found: Mapping[str, str] = wanted
    value = registry.get_sample_value(name, dict(found))
    return 0.0 if value is None else float(value)
