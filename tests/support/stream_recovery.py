"""Interrupted streams, and a scripted handler below the stream recovery layer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aimanager_server.config.resilience import RetrySettings
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.content import ToolCall
from aimanager_server.core.errors import GatewayError, ProviderUnreachable, StreamInterrupted
from aimanager_server.core.handler import CallHandler, compose
from aimanager_server.core.request import Call, Target
from aimanager_server.core.response import Event, PartCompleted, ResponseMetadata, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.pipeline.stream_recovery import StreamRecovery
from aimanager_server.resilience.retry_budget import RetryBudgets
from aimanager_server.telemetry.metrics import Metrics
from tests.support.calls import TARGET, make_call
from tests.support.clock import FakeClock
from tests.support.layers import new_metrics

SECOND = Target("claude", "claude-opus-5-5")
THIRD = Target("openai", "gpt-x")
CHAIN = (TARGET, SECOND, THIRD)
DELTA = TextDelta(0, "Half an ans")
TOOL_CALL = PartCompleted(0, ToolCall("1", "wire_money", "{}"))


def interruption(cause: GatewayError | None = None) -> StreamInterrupted:
    error = StreamInterrupted("interrupted", usage=Usage(5, 3, source=UsageSource.ESTIMATED))
    error.__cause__ = cause or ProviderUnreachable("reset")
    return error


class ScriptedTargets:
    """Responds for the first target of each call with the next script; `calls` has the targets of each call,
    `closed` the providers whose responses were closed.

    Records attempts as the retry loop and accounting do.
    """

    def __init__(self, *scripts: tuple[Event | GatewayError, ...] | GatewayError) -> None:
        self._scripts = list(scripts)
        self.calls: list[tuple[str, ...]] = []
        self.closed: list[str] = []

    async def __call__(self, call: Call) -> ResponseStream:
        self.calls.append(tuple(target.provider for target in call.targets))
        record = call.attempts.start(*call.target.key, 0.0)
        record.sent_at = 0.0
        script = self._scripts.pop(0)
        if isinstance(script, GatewayError):
            record.end(0.0, script.reason, script.usage)
            raise script
        metadata = ResponseMetadata(call.id, call.requested_model, *call.target.key, call.attempts.records)

        async def close() -> None:
            self.closed.append(call.target.provider)

        return ResponseStream.from_iterator(metadata, self._events(record, script), close)

    async def _events(self, record: AttemptRecord, script: tuple[Event | GatewayError, ...]) -> AsyncIterator[Event]:
        for event in script:
            if isinstance(event, GatewayError):
                record.is_interrupted = isinstance(event, StreamInterrupted)
                record.end(0.0, event.reason, event.usage)
                raise event
            yield event


def recovering(
    targets: ScriptedTargets, clock: FakeClock | None = None, budget_burst: int = 10, metrics: Metrics | None = None
) -> CallHandler:
    """Return the stream recovery layer over scripted targets."""
    clock = clock or FakeClock()
    budgets = RetryBudgets(RetrySettings(budget_burst=budget_burst), clock)
    return compose((StreamRecovery(RetrySettings(), budgets, metrics or new_metrics(), clock),), targets)


def stream_call(*, restart_on_interruption: bool = True) -> Call:
    return make_call(targets=CHAIN, streaming=True, restart_on_interruption=restart_on_interruption)


async def collect(response: ResponseStream) -> list[Event]:
    return [event async for event in response]
