"""Recover interrupted responses: repeat the call if the caller has seen nothing, or restart the stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..config.resilience import RetrySettings
from ..core.content import ToolCall
from ..core.errors import DeadlineExceeded, GatewayError, StreamInterrupted
from ..core.handler import CallHandler, Clock
from ..core.request import Call, Target
from ..core.response import (
    Event,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    ResponseMetadata,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from ..core.stream import Failed, Outcome, ResponseStream, StreamObserver
from ..core.usage import Usage
from ..resilience.error_report import FirstError
from ..resilience.retry_budget import RetryBudgets
from ..resilience.retry_policy import Decision, Fail, Retry, RetryState, decide, eligible_fallbacks
from ..telemetry.metrics import Metrics

PREVIEWS = (TextDelta, ReasoningDelta, ToolCallDelta, ReasoningProgress)
"""Events whose content is repeated in a completed part."""


class StreamRecovery:
    """Recover responses that are interrupted after the first content; RetryAndFallback handles errors before it.

    The response of a unary call is read to its end here, so the call can be repeated unnoticed, as can a stream of
    which only hidden reasoning has arrived. After its first visible event, a stream fails, or restarts if the call sets
    `restart_on_interruption` and no tool call was completed, which the caller may already have executed.
    """

    def __init__(self, settings: RetrySettings, budgets: RetryBudgets, metrics: Metrics, clock: Clock) -> None:
        self.settings = settings
        self.budgets = budgets
        self.metrics = metrics
        self.clock = clock

    async def __call__(self, call: Call, proceed: CallHandler) -> ResponseStream:
        """Return the events of one complete response, or of several with a Restarted event before each further one."""
        started_at = self.clock()
        stream = await proceed(call)
        recovery = _Recovery(self, call, proceed, stream)
        if not call.streaming:
            stream.metadata.time_to_first_token = self.clock() - started_at
            events = await recovery.read_to_end(started_at)
            return ResponseStream.of(recovery.stream.metadata, events)
        if not call.restart_on_interruption and stream.has_visible_content:
            return stream.observed_by(_CountInterruption(self.metrics, stream.metadata))
        await recovery.read_first()
        return ResponseStream(recovery.stream.metadata, recovery)


class _Recovery:
    """The responses of one call, one after the other: the source of events of a stream that may restart."""

    def __init__(self, layer: StreamRecovery, call: Call, proceed: CallHandler, stream: ResponseStream) -> None:
        self.stream = stream
        self._layer = layer
        self._call = call
        self._proceed = proceed
        self._first_error = FirstError(layer.clock)
        self._buffered: list[Event] = []
        self._may_restart = call.restart_on_interruption

    @property
    def buffered(self) -> Sequence[Event]:
        """Return the events that were read ahead."""
        return self._buffered

    async def read_to_end(self, started_at: float) -> list[Event]:
        """Return all events of one complete response, without previews. Raises GatewayError."""
        while True:
            events: list[Event] = []
            try:
                while batch := await self.stream.read():
                    events += [event for event in batch if not isinstance(event, PREVIEWS)]
                return events
            except GatewayError as error:
                await self._next_stream(error)
                self.stream.metadata.time_to_first_token = self._layer.clock() - started_at

    async def read_first(self) -> None:
        """Buffer the first visible events, of the first response that has any. Raises GatewayError."""
        while not self._buffered:
            try:
                self._buffered = _visible(await self.stream.read())
            except GatewayError as error:
                await self._next_stream(error)

    async def read(self) -> list[Event]:
        """Return the next visible events; those of another response begin with Restarted. Raises GatewayError."""
        events, self._buffered = self._buffered, []
        while not events:
            if self.stream.is_ended:
                return []
            try:
                events = _visible(await self.stream.read())
            except GatewayError as error:
                await self._next_stream(error, may_restart=self._may_restart)
                await self.read_first()
                events, self._buffered = [Restarted(self.stream.metadata), *self._buffered], []
        self._may_restart = self._may_restart and not any(map(_is_tool_call, events))
        return events

    async def aclose(self) -> None:
        """Close the current response."""
        await self.stream.aclose()

    def usage_so_far(self) -> Usage | None:
        """Return the usage so far of the current response."""
        return self.stream.usage_so_far()

    async def _next_stream(self, error: GatewayError, *, may_restart: bool = True) -> None:
        """Continue with the response of another attempt. Raises the first error if none may be made."""
        self._first_error.add(error)
        if not isinstance(error, StreamInterrupted):
            self._fail(error)
        metadata = self.stream.metadata
        target, fallbacks = self._targets_after(metadata, error)
        decision = self._decide(error, target, len(fallbacks)) if may_restart else Fail()
        metrics = self._layer.metrics.for_target(metadata.provider, metadata.model)
        (metrics.failed_streams if isinstance(decision, Fail) else metrics.restarted_streams).inc()
        if isinstance(decision, Fail):
            self._fail(error)
        if isinstance(decision, Retry) and self._call.attempts.records[-1].affects_health:
            self._layer.budgets.get(self._call, target.provider).withdraw()
        self._call = self._call.with_targets(*((target,) if isinstance(decision, Retry) else fallbacks))
        try:
            self.stream = await self._proceed(self._call)
        except GatewayError as last:
            self._fail(last)

    def _targets_after(self, metadata: ResponseMetadata, error: GatewayError) -> tuple[Target, tuple[Target, ...]]:
        """Return the target that responded, and the targets that may be tried after it."""
        targets = self._call.targets
        position = [target.key for target in targets].index((metadata.provider, metadata.model))
        return targets[position], eligible_fallbacks(error, targets[position], targets[position + 1 :])

    def _decide(self, error: GatewayError, target: Target, fallbacks: int) -> Decision:
        log, layer = self._call.attempts, self._layer
        state = RetryState(
            attempts=log.requests_sent(target.key),
            fallbacks=fallbacks,
            remaining_seconds=self._call.remaining_seconds(layer.clock()),
            within_budget=layer.budgets.get(self._call, target.provider).allows_retry,
            interruptions=log.interruptions(target.key),
        )
        return decide(error, state, layer.settings, 0.0)

    def _fail(self, last: GatewayError) -> NoReturn:
        reported = self._first_error.report(last)
        if self._call.remaining_seconds(self._layer.clock()) <= 0 and not isinstance(reported, DeadlineExceeded):
            reported = _exceeded(reported)
        if reported is last:
            raise last
        raise reported from last


def _exceeded(error: GatewayError) -> DeadlineExceeded:
    """Return the error of a call whose deadline passed while its response was being replaced."""
    message = f"Deadline exceeded before the response was complete. Before that: {error.message}"
    return DeadlineExceeded(message, provider=error.provider, model=error.model, usage=error.usage)


class _CountInterruption(StreamObserver):
    __slots__ = ("_metadata", "_metrics")

    def __init__(self, metrics: Metrics, metadata: ResponseMetadata) -> None:
        self._metrics = metrics
        self._metadata = metadata

    def on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failed) and isinstance(outcome.error, StreamInterrupted):
            self._metrics.for_target(self._metadata.provider, self._metadata.model).failed_streams.inc()


def _visible(events: list[Event]) -> list[Event]:
    return [event for event in events if type(event) is not ReasoningProgress]


def _is_tool_call(event: Event) -> bool:
    return isinstance(event, PartCompleted) and isinstance(event.part, ToolCall)
