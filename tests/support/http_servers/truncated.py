"""Answers that break off, given by a fake of what lies inside `rescue`."""

from collections.abc import AsyncIterator
from typing import Any

from aimanager_server.core.attempts import AttemptRecord, AttemptUsage
from aimanager_server.core.content import ToolCall
from aimanager_server.core.errors import GatewayError, ProviderUnreachable, StreamInterrupted
from aimanager_server.core.request import Call, Target
from aimanager_server.core.response import Event, PartCompleted, ResponseMetadata, ResponseStream, TextDelta
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


def cut(cause: GatewayError | None = None) -> StreamInterrupted:
    broken = StreamInterrupted("cut")
    broken.usage = Usage(5, 3, source=UsageSource.ESTIMATED)
    broken.__cause__ = cause or ProviderUnreachable("reset")
    return broken


class Answers:
    """What lies inside: the first target of a call answers, each time with the next script. Knows who was asked."""

    def __init__(self, *scripts: tuple[Event | GatewayError, ...] | GatewayError) -> None:
        self._scripts = list(scripts)
        self.asked: list[tuple[str, ...]] = []
        self.closed = 0

    async def __call__(self, call: Call) -> ResponseStream:
        self.asked.append(tuple(target.provider for target in call.targets))
        call.usage_ledger.requests_sent[call.target.key] += 1
        script = self._scripts.pop(0)
        if isinstance(script, GatewayError):
            script.attempts = (AttemptRecord(call.target.provider, call.target.model, script.reason, 0.1),)
            raise script
        target = call.target
        tries = (AttemptRecord(target.provider, target.model, "", 0.1),)
        head = ResponseMetadata(call.id, call.requested_model, target.provider, target.model, tries)
        return ResponseStream(head, self._events(call, script), self._close, lambda: None)

    async def _events(self, call: Call, script: tuple[Event | GatewayError, ...]) -> AsyncIterator[Event]:
        for event in script:
            if isinstance(event, StreamInterrupted) and event.usage:
                call.usage_ledger.interruptions[call.target.key] += 1
                call.usage_ledger.entries.append(AttemptUsage(call.target.provider, call.target.model, event.usage))
            if isinstance(event, GatewayError):
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


async def events_of(reply: ResponseStream) -> list[Event]:
    return [event async for event in reply]
