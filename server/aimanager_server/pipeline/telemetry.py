"""Counts, times and logs every call, whatever becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from ..core.attempts import CANCELLED
from ..core.errors import GatewayError
from ..core.handler import Clock, Handler
from ..core.request import Call
from ..core.response import Event, Finished, ResponseMetadata, ResponseStream, Restarted
from ..telemetry.metrics import Metrics, Outcomes
from ..telemetry.usage_stats import Sums

INTERNAL = "INTERNAL_ERROR"
DEADLINE = "DEADLINE_EXCEEDED"


class Observe:
    """The outermost layer, so that refused, repeated and failed calls all count. `in_flight` are under way."""

    def __init__(self, metrics: Metrics, sums: Sums, clock: Clock) -> None:
        self.metrics = metrics
        self.sums = sums
        self.clock = clock
        self.log = structlog.get_logger().bind()
        self.in_flight = 0

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Proceed, and record how the call went once it ended."""
        record = _Record(self, call)
        try:
            reply = await proceed(call)
        except BaseException as error:
            record.failed(error)
            raise
        record.began_to_answer(reply.metadata)

        async def watched(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
            try:
                async for event in events:
                    if isinstance(event, Finished):
                        event = record.finished(event)
                    elif isinstance(event, Restarted):
                        event = Restarted(record.restarted(event.metadata))
                    yield event
            except GeneratorExit:
                raise  # `close` follows, once the attempt under way is booked
            except BaseException as error:
                record.failed(error)
                raise

        async def close() -> None:
            try:
                await reply.aclose()
            finally:
                record.cancelled()

        return ResponseStream(record.head, watched(aiter(reply)), close, reply.usage_so_far)


class _Record:
    """One call's entry in the books; written once."""

    __slots__ = ("_books", "_call", "_open", "_outcomes", "_started", "head")

    def __init__(self, books: Observe, call: Call) -> None:
        self._books = books
        self._call = call
        self._started = books.clock()
        self._open = True
        self.head = ResponseMetadata(call.id, call.requested_model, call.target.provider, call.target.model)
        self._outcomes: Outcomes = books.metrics.outcomes(call.target.provider, call.target.model)
        (self._outcomes.stream if call.streaming else self._outcomes.unary).inc()
        books.metrics.in_flight.inc()
        books.in_flight += 1

    def began_to_answer(self, head: ResponseMetadata) -> None:
        """The first content is there; what was read further ahead knows better when it came."""
        elapsed = self._books.clock() - self._started
        self.head = replace(head, time_to_first_token=head.time_to_first_token or elapsed)
        self._outcomes.first_token.observe(self.head.time_to_first_token)
        self._books.metrics.overhead.observe(max(0.0, elapsed - self._call.upstream_timer.seconds))

    def restarted(self, head: ResponseMetadata) -> ResponseMetadata:
        """The answer begins again; the head with the time to what is not void."""
        self.head = replace(head, time_to_first_token=self._books.clock() - self._started)
        return self.head

    def finished(self, event: Finished) -> Finished:
        """The same event with its latency."""
        event = replace(event, latency=self._books.clock() - self._started)
        if not self._close("", event.latency):
            return event
        self._outcomes.latency.observe(event.latency)
        head, usage = self.head, event.usage
        if not head.from_cache:
            self._outcomes.tokens_per_request.observe(usage.input_tokens + usage.output_tokens)
        self._books.log.info(
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
        if not isinstance(error, GatewayError):
            self._lost(INTERNAL if isinstance(error, Exception) else self._why_given_up())
            return
        self._lost(error.reason, attempts=len(error.attempts), upstream_status=error.upstream_status)

    def cancelled(self) -> None:
        """The caller went away before the end."""
        self._lost(self._why_given_up())

    def _why_given_up(self) -> str:
        return DEADLINE if self._books.clock() >= self._call.deadline else CANCELLED

    def _lost(self, reason: str, **facts: int | None) -> None:
        if not self._close(reason):
            return
        target, usage, cost = self._call.target, self._call.usage_ledger.usage(), self._call.usage_ledger.cost()
        self._books.metrics.errors.labels(target.provider, reason).inc()
        self._books.log.warning(
            "call.cancelled" if reason == CANCELLED else "call.failed",
            provider=target.provider,
            model=target.model,
            reason=reason,
            seconds=round(self._books.clock() - self._started, 6),
            **({"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens} if usage else {}),
            **({"cost_nanos": cost.total_nanos} if cost else {}),
            **facts,
            **self._who(),
        )

    def _who(self) -> dict[str, object]:
        labels = self._call.labels
        return {"caller": self._call.caller.name, **({"labels": dict(labels)} if labels else {})}

    def _close(self, reason: str, latency: float | None = None) -> bool:
        was_open, self._open = self._open, False
        if was_open:
            self._books.metrics.in_flight.dec()
            self._books.in_flight -= 1
            target, head = self._call.target, self.head
            self._books.sums.ended(
                target.provider,
                target.model,
                reason,
                fell_back=not reason and (head.provider, head.model) != (target.provider, target.model),
                latency=latency,
                first_token=None if latency is None else head.time_to_first_token,
            )
        return was_open
