"""Answers that break off, given by a fake of what lies inside `rescue`."""

from collections.abc import AsyncIterator
from typing import Any

from aimanager_server.core.content import ToolCall
from aimanager_server.core.errors import ProviderUnreachable, StreamInterrupted
from aimanager_server.core.fault import Fault
from aimanager_server.core.request import Call, Spent, Target
from aimanager_server.core.response import Attempt, Event, Head, PartCompleted, Reply, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.pipeline.stream_recovery import Rescue
from aimanager_server.resilience.retry_budget import Budgets
from aimanager_server.resilience.retry_policy import Policy
from tests.support.calls import TARGET, FakeClock, call
from tests.support.layers import metering

SECOND = Target("claude", "claude-opus-5-5")
THIRD = Target("openai", "gpt-x")
CHAIN = (TARGET, SECOND, THIRD)
PIECE = TextDelta(0, "Half an ans")
RAN = PartCompleted(0, ToolCall("1", "wire_money", "{}"))


def cut(cause: Fault | None = None) -> StreamInterrupted:
    broken = StreamInterrupted("cut")
    broken.usage = Usage(5, 3, source=UsageSource.ESTIMATED)
    broken.__cause__ = cause or ProviderUnreachable("reset")
    return broken


class Answers:
    """What lies inside: the first target of a call answers, each time with the next script. Knows who was asked."""

    def __init__(self, *scripts: tuple[Event | Fault, ...] | Fault) -> None:
        self._scripts = list(scripts)
        self.asked: list[tuple[str, ...]] = []
        self.closed = 0

    async def __call__(self, call: Call) -> Reply:
        self.asked.append(tuple(target.provider for target in call.targets))
        call.ledger.sendings[call.target.place] += 1
        script = self._scripts.pop(0)
        if isinstance(script, Fault):
            script.attempts = (Attempt(call.target.provider, call.target.model, script.reason, 0.1),)
            raise script
        target = call.target
        tries = (Attempt(target.provider, target.model, "", 0.1),)
        head = Head(call.id, call.requested_model, target.provider, target.model, tries)
        return Reply(head, self._events(call, script), self._close, lambda: None)

    async def _events(self, call: Call, script: tuple[Event | Fault, ...]) -> AsyncIterator[Event]:
        for event in script:
            if isinstance(event, StreamInterrupted) and event.usage:
                call.ledger.breaks[call.target.place] += 1
                call.ledger.entries.append(Spent(call.target.provider, call.target.model, event.usage))
            if isinstance(event, Fault):
                raise event
            yield event

    async def _close(self) -> None:
        self.closed += 1


def rescue(clock: FakeClock | None = None, reserve: float = 10.0) -> Rescue:
    used = clock or FakeClock()
    return Rescue(Policy(), Budgets(0.1, reserve, used), metering(), used)


def streamed(*targets: Target, restarts: bool = True) -> Call:
    facts: dict[str, Any] = {"streaming": True, "restarts": restarts}
    return call(targets=targets or CHAIN, **facts)


async def events_of(reply: Reply) -> list[Event]:
    return [event async for event in reply]
