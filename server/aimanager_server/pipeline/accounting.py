"""Complete the record of every attempt: its usage, its cost, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..core.attempts import CANCELLED, AttemptRecord
from ..core.errors import DeadlineExceeded, FirstTokenTimeout, GatewayError
from ..core.handler import Clock
from ..core.request import Attempt
from ..core.response import Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from ..core.stream import Failed, Outcome, ResponseStream, StreamObserver
from ..core.token_estimate import CHARACTERS_PER_TOKEN, estimate_tokens
from ..core.usage import Cost, CostFunction, Usage, UsageSource
from ..resilience.attempt_effect import effect_of, root_cause


class AttemptSubscriber(Protocol):
    """Reads the records of attempts: metrics and statistics."""

    def attempt_started(self, record: AttemptRecord, /) -> None:
        """A request is about to be sent."""
        ...

    def attempt_ended(self, record: AttemptRecord, /) -> None:
        """The record is complete."""
        ...


class Accounting:
    """End every attempt's record exactly once and pass it to the subscribers.

    Usage that the provider does not report is estimated from the prompt and the output so far, and marked as estimated.
    """

    def __init__(self, cost_of: CostFunction, clock: Clock, subscribers: Sequence[AttemptSubscriber]) -> None:
        self.cost_of = cost_of
        self.clock = clock
        self.subscribers = tuple(subscribers)

    def observe(self, attempt: Attempt[Any]) -> StreamObserver:
        """Count one request as sent."""
        attempt.record.sent_at = self.clock()
        for subscriber in self.subscribers:
            subscriber.attempt_started(attempt.record)
        return _AttemptObserver(self, attempt)


class _AttemptObserver(StreamObserver):
    __slots__ = ("_attempt", "_layer", "_output_characters", "_stream")

    def __init__(self, layer: Accounting, attempt: Attempt[Any]) -> None:
        self._layer = layer
        self._attempt = attempt
        self._stream: ResponseStream | None = None
        self._output_characters = 0

    def on_first_content(self, stream: ResponseStream) -> None:
        self._stream = stream
        self._attempt.record.first_content_at = self._layer.clock()

    def on_events(self, events: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is ReasoningDelta:
                self._output_characters += len(event.text)  # type: ignore[union-attr]  # narrowed by its exact type
            elif kind is ToolCallDelta:
                self._output_characters += len(event.arguments_json)  # type: ignore[union-attr]  # likewise
        last = events[-1] if events else None
        if type(last) is Finished:
            events[-1] = self._completed(last)

    def on_end(self, outcome: Outcome) -> None:
        if self._attempt.record.ended_at is not None:
            return  # complete, even if a layer further out rejected the answer
        if isinstance(outcome, Failed) and isinstance(outcome.error, GatewayError):
            self._failed(outcome.error)
        else:
            usage = self._usage_so_far(None)
            self._end(CANCELLED, usage, self._cost(usage))

    def _completed(self, finished: Finished) -> Finished:
        usage, cost = finished.usage, finished.cost
        if usage.source is not UsageSource.REPORTED and not (usage.input_tokens and usage.output_tokens):
            usage = self._usage_so_far(usage)
        if cost is None:
            cost = self._cost(usage)
        record = self._attempt.record
        record.effect = "success" if record.affects_health else "none"
        self._end("", usage, cost)
        if usage is finished.usage and cost is finished.cost:
            return finished
        return finished.with_totals(usage, cost, finished.latency)

    def _failed(self, error: GatewayError) -> None:
        record, usage = self._attempt.record, error.usage
        record.is_interrupted = self._stream is not None
        # After a timeout, the provider has still processed the prompt.
        if record.is_interrupted or isinstance(error, FirstTokenTimeout | DeadlineExceeded):
            usage = self._usage_so_far(usage)
        record.effect = effect_of(error, self._attempt)
        record.solution = root_cause(error).solution
        self._end(error.reason, usage, self._cost(usage))

    def _usage_so_far(self, reported: Usage | None) -> Usage:
        if reported is None and self._stream is not None:
            reported = self._stream.usage_so_far()
        reported = reported or Usage()
        input_tokens = reported.input_tokens or estimate_tokens(self._attempt)
        output_tokens = max(reported.output_tokens, -(-self._output_characters // CHARACTERS_PER_TOKEN))
        if (input_tokens, output_tokens) == (reported.input_tokens, reported.output_tokens):
            return reported
        return replace(reported, input_tokens=input_tokens, output_tokens=output_tokens, source=UsageSource.ESTIMATED)

    def _cost(self, usage: Usage | None) -> Cost | None:
        return None if usage is None else self._layer.cost_of(*self._attempt.target.key, usage)

    def _end(self, reason: str, usage: Usage | None, cost: Cost | None) -> None:
        record = self._attempt.record
        record.end(self._layer.clock(), reason, usage, cost)
        for subscriber in self._layer.subscribers:
            subscriber.attempt_ended(record)
