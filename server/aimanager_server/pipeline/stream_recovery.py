"""Begins an answer again that broke off: unseen where nobody saw any of it, else only where the caller wants that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import NoReturn

from ..core.attempts import AttemptRecord
from ..core.content import ToolCall
from ..core.errors import GatewayError, StreamInterrupted
from ..core.handler import Clock, Handler
from ..core.request import Call, Target
from ..core.response import (
    Event,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    ResponseMetadata,
    ResponseStream,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from ..core.usage import Usage
from ..resilience.retry_budget import Budgets
from ..resilience.retry_policy import GiveUp, Policy, Retry, Stand, Verdict, decide, heirs
from ..telemetry.metrics import Metrics

PREVIEWS = (TextDelta, ReasoningDelta, ToolCallDelta, ReasoningProgress)
"""What says nothing that does not come again with its whole part."""


class Rescue:
    """The layer around `attempt`: that one goes on while nothing of an answer is there, this one once there is.

    A unary call is read to its end in here, so its caller has seen nothing. Of a stream, nothing was seen before the
    first event that is passed on; after it, the stream fails, or restarts where the call says so and no tool call was
    whole yet, since it may have run.
    """

    def __init__(self, policy: Policy, budgets: Budgets, metrics: Metrics, clock: Clock) -> None:
        self.policy = policy
        self.budgets = budgets
        self.metrics = metrics
        self.clock = clock

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Answer, with all that is passed on coming from one whole answer, or a restart in between."""
        course = _Course(self, call, proceed)
        reply, held = await course.begun()
        if call.streaming:
            return ResponseStream(reply.metadata, course.flow(held), course.aclose, course.spent)
        return ResponseStream(reply.metadata, _each(held), reply.aclose, reply.usage_so_far)


class _Course:
    """One call's way through its interruptions."""

    def __init__(self, rescue: Rescue, call: Call, proceed: Handler) -> None:
        self._rescue = rescue
        self._call = call
        self._proceed = proceed
        self._began = rescue.clock()
        self._reply: ResponseStream | None = None
        self._tried: tuple[AttemptRecord, ...] = ()
        self._first: GatewayError | None = None

    async def begun(self) -> tuple[ResponseStream, list[Event]]:
        """An answer and what was read of it: up to the first event to pass on, all of it where the call is unary."""
        while True:
            reply = await self._asked()
            try:
                return reply, await self._read(reply)
            except StreamInterrupted as fault:
                self._broken(fault)
            except GatewayError as fault:
                self._note(fault)
                self._report(fault)

    async def flow(self, held: list[Event]) -> AsyncIterator[Event]:
        """The events, with a restart between one answer and the next."""
        may_restart = self._call.restart_on_interruption
        while True:
            assert self._reply is not None
            try:
                for event in held:
                    may_restart = may_restart and not _may_have_run(event)
                    yield event
                async for event in self._reply:
                    if type(event) is PartCompleted:
                        may_restart = may_restart and not _may_have_run(event)
                    if type(event) is not ReasoningProgress:
                        yield event
                return
            except StreamInterrupted as fault:
                self._broken(fault, may_restart=may_restart)
            except GatewayError as fault:
                self._note(fault)
                self._report(fault)
            reply, held = await self.begun()
            yield Restarted(reply.metadata)

    async def aclose(self) -> None:
        """Give up the answer under way."""
        if self._reply is not None:
            await self._reply.aclose()

    def spent(self) -> Usage | None:
        """The usage so far of the answer under way."""
        return None if self._reply is None else self._reply.usage_so_far()

    async def _asked(self) -> ResponseStream:
        try:
            reply = await self._proceed(self._call)
        except GatewayError as fault:
            self._report(fault)
        head = replace(reply.metadata, attempts=(*self._tried, *reply.metadata.attempts))
        if not self._call.streaming:
            head = replace(head, time_to_first_token=self._rescue.clock() - self._began)
        self._reply = reply.with_metadata(head)
        return self._reply

    async def _read(self, reply: ResponseStream) -> list[Event]:
        try:
            if self._call.streaming:
                return [event] if (event := await _first_seen(reply)) else []
            return [event async for event in reply if not isinstance(event, PREVIEWS)]
        except BaseException:
            await reply.aclose()
            raise

    def _broken(self, fault: StreamInterrupted, *, may_restart: bool = True) -> None:
        """Turn to whoever answers now. Raises the first fault where nobody does."""
        head = self._note(fault)
        target, rest = self._after(head.provider, head.model, fault)
        verdict = self._decided(fault, target, len(rest)) if may_restart else GiveUp()
        outcomes = self._rescue.metrics.outcomes(head.provider, head.model)
        (outcomes.interrupted if isinstance(verdict, GiveUp) else outcomes.restarted).inc()
        if isinstance(verdict, GiveUp):
            self._report(fault)
        self._first = self._first or fault
        if isinstance(verdict, Retry):
            self._rescue.budgets.of(self._call, target.provider).spend()
        self._call = self._call.with_targets(*((target,) if isinstance(verdict, Retry) else rest))

    def _note(self, fault: GatewayError) -> ResponseMetadata:
        """Enter how the attempt that had answered ended; its head."""
        assert self._reply is not None
        *before, last = self._reply.metadata.attempts
        self._tried = (*before, replace(last, error_reason=fault.reason, usage=fault.usage, cost=fault.cost))
        return self._reply.metadata

    def _after(self, provider: str, model: str, fault: GatewayError) -> tuple[Target, tuple[Target, ...]]:
        """The target that answered, and those that may take over."""
        targets = self._call.targets
        position = [target.key for target in targets].index((provider, model))
        return targets[position], heirs(fault, targets[position], targets[position + 1 :])

    def _decided(self, fault: GatewayError, target: Target, count: int) -> Verdict:
        ledger, rescue = self._call.usage_ledger, self._rescue
        stand = Stand(
            tries=ledger.requests_sent[target.key],
            heirs=count,
            left=self._call.deadline - rescue.clock(),
            affordable=rescue.budgets.of(self._call, target.provider).affordable,
            breaks=ledger.interruptions[target.key],
        )
        return decide(fault, stand, rescue.policy, 0.0)

    def _report(self, last: GatewayError) -> NoReturn:
        """Raise the first fault, with every attempt, and all that the call took."""
        first = self._first or last
        first.attempts = (*self._tried, *last.attempts)
        first.usage = self._call.usage_ledger.usage() or first.usage
        if first is last:
            raise first
        raise first from last


async def _first_seen(reply: ResponseStream) -> Event | None:
    async for event in reply:
        if type(event) is not ReasoningProgress:
            return event
    return None


def _may_have_run(event: Event) -> bool:
    return isinstance(event, PartCompleted) and isinstance(event.part, ToolCall)


async def _each(events: Sequence[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event
