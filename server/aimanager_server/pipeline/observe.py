"""Counts, times and logs every call, whatever becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from ..call import Call
from ..fault import Fault
from ..handler import Clock, Handler
from ..metrics import Metrics, Outcomes
from ..reply import Event, Finished, Reply
from ..usage import Usage

CANCELLED = "CANCELLED"
INTERNAL = "INTERNAL_ERROR"


class Observe:
    """The outermost layer, so that refused, repeated and failed calls all count."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._log = structlog.get_logger().bind()

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        """Proceed, and record how the call went once it ended."""
        record = _Record(self._metrics, self._log, call, self._clock)
        try:
            reply = await proceed(call)
        except BaseException as error:
            record.failed(error)
            raise
        head = replace(reply.head, time_to_first_token=record.began_to_answer())

        async def watched(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
            try:
                async for event in events:
                    if isinstance(event, Finished):
                        event = record.finished(reply, event)
                    yield event
            except BaseException as error:
                record.failed(error)
                raise

        async def close() -> None:
            record.cancelled()
            await reply.aclose()

        return Reply(head, watched(aiter(reply)), close)


class _Record:
    """One call's entry in the books; written once."""

    __slots__ = ("_call", "_clock", "_log", "_metrics", "_open", "_outcomes", "_started")

    def __init__(self, metrics: Metrics, log: structlog.typing.FilteringBoundLogger, call: Call, clock: Clock) -> None:
        self._metrics = metrics
        self._log = log
        self._call = call
        self._clock = clock
        self._started = clock()
        self._open = True
        self._outcomes: Outcomes = metrics.outcomes(call.target.provider, call.target.model)
        (self._outcomes.stream if call.streaming else self._outcomes.unary).inc()
        metrics.in_flight.inc()

    def began_to_answer(self) -> float:
        """Seconds to the first content."""
        seconds = self._clock() - self._started
        self._outcomes.first_token.observe(seconds)
        self._metrics.overhead.observe(max(0.0, seconds - self._call.away.seconds))
        return seconds

    def finished(self, reply: Reply, event: Finished) -> Finished:
        """The same event with its latency."""
        event = replace(event, latency=self._clock() - self._started)
        if not self._close():
            return event
        self._outcomes.latency.observe(event.latency)
        if not reply.head.from_cache:
            self._outcomes.spent(event.usage, event.cost)
        head, usage = reply.head, event.usage
        self._log.info(
            "call.finished",
            provider=head.provider,
            model=head.model,
            finish_reason=event.reason.value,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            usage_source=usage.source.value,
            cost_nanos=event.cost.total_nanos if event.cost else None,
            seconds=round(event.latency, 6),
            attempts=len(head.attempts),
            from_cache=head.from_cache,
            **self._who(),
        )
        return event

    def failed(self, error: BaseException) -> None:
        """Record a fault, a cancellation or a bug."""
        if not isinstance(error, Fault):
            self._lost(INTERNAL if isinstance(error, Exception) else CANCELLED, None)
            return
        self._lost(error.reason, error.usage, attempts=len(error.attempts), upstream_status=error.upstream_status)

    def cancelled(self) -> None:
        """The caller went away before the end."""
        self._lost(CANCELLED, None)

    def _lost(self, reason: str, usage: Usage | None, **facts: int | None) -> None:
        if not self._close():
            return
        target = self._call.target
        self._metrics.errors.labels(target.provider, reason).inc()
        if usage is not None:
            self._outcomes.spent(usage, None)
        self._log.warning(
            "call.cancelled" if reason == CANCELLED else "call.failed",
            provider=target.provider,
            model=target.model,
            reason=reason,
            seconds=round(self._clock() - self._started, 6),
            **facts,
            **self._who(),
        )

    def _who(self) -> dict[str, object]:
        labels = self._call.labels
        return {"caller": self._call.caller.name, **({"labels": dict(labels)} if labels else {})}

    def _close(self) -> bool:
        was_open, self._open = self._open, False
        if was_open:
            self._metrics.in_flight.dec()
        return was_open
