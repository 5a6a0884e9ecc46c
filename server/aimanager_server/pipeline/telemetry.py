"""Count, time and log every call, whatever its outcome."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.attempts import CANCELLED, AttemptRecord
from ..core.errors import GatewayError
from ..core.handler import Clock
from ..core.request import Call
from ..core.response import CacheStatus, Event, Finished, ResponseMetadata, Restarted
from ..core.stream import Completed, Failed, Outcome, ResponseStream, StreamObserver
from ..telemetry.logger import get_logger
from ..telemetry.metrics import Metrics
from ..telemetry.redaction import redact, without_quotations
from ..telemetry.usage_stats import UsageStats

MAX_MESSAGE_LENGTH = 500
"""Of the message of an error in the log."""

MAX_ATTEMPT_REASONS = 20

FROM_CACHE = (CacheStatus.HIT, CacheStatus.COALESCED)

INTERNAL_ERROR = "INTERNAL_ERROR"
DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"


class Telemetry:
    """Record metrics, usage statistics and one log line per call. `in_flight` is the number of calls in flight.

    This is the outermost layer, so that rejected, replayed and failed calls are recorded too.
    """

    def __init__(self, metrics: Metrics, usage_stats: UsageStats, clock: Clock) -> None:
        self.metrics = metrics
        self.usage_stats = usage_stats
        self.clock = clock
        self.in_flight = 0
        self.bind_logger()
        metrics.requests_in_flight.set_function(lambda: self.in_flight)

    def bind_logger(self) -> None:
        """Use the current configuration of the logs, such as a new level. A logger bound once is faster for a call."""
        self.log = get_logger().bind()

    def count_rejected(self, caller: str | None, reason: str, *, streaming: bool) -> None:
        """Count a request that failed before it had a target. `caller` is None if it was not authenticated."""
        self.metrics.count_rejected(reason, streaming=streaming)
        usage = self.usage_stats.unauthenticated if caller is None else self.usage_stats.of(caller)
        usage.record_call("", "", reason, used_fallback=False, latency=None, time_to_first_token=None)

    def observe(self, call: Call) -> StreamObserver:
        """Watch one call."""
        return _CallObserver(self, call)


class _CallObserver(StreamObserver):
    __slots__ = ("_call", "_layer", "_metadata", "_metrics", "_started_at", "_usage")

    def __init__(self, layer: Telemetry, call: Call) -> None:
        self._layer = layer
        self._call = call
        self._started_at = layer.clock()
        provider, model = call.target.key
        self._metadata = ResponseMetadata(call.id, call.requested_model, provider, model)
        self._metrics = layer.metrics.for_target(provider, model)
        self._usage = layer.usage_stats.of(call.caller.name)
        self._usage.in_flight += 1
        (self._metrics.streaming_requests if call.streaming else self._metrics.unary_requests).inc()
        layer.in_flight += 1

    def on_first_content(self, stream: ResponseStream) -> None:
        elapsed = self._elapsed()
        metadata = self._metadata = stream.metadata
        # A layer that has read the whole response has set it already.
        metadata.time_to_first_token = metadata.time_to_first_token or elapsed
        self._metrics.time_to_first_token.observe(metadata.time_to_first_token)
        self._layer.metrics.gateway_overhead.observe(max(0.0, elapsed - self._call.upstream_timer.seconds))

    def on_events(self, events: list[Event]) -> None:
        if not events:
            return
        first, last = events[0], events[-1]
        if type(first) is Restarted:  # always the first of its batch
            self._metadata = first.metadata
            self._metadata.time_to_first_token = self._elapsed()
        if type(last) is Finished:
            events[-1] = last.with_totals(last.usage, last.cost, self._elapsed())

    def on_end(self, outcome: Outcome) -> None:
        if isinstance(outcome, Completed):
            self._completed(outcome.finished)
        elif isinstance(outcome, Failed):
            self._failed(outcome.error)
        else:
            is_overdue = self._layer.clock() >= self._call.deadline
            self._log_failure(DEADLINE_EXCEEDED if is_overdue else CANCELLED)

    def _completed(self, finished: Finished) -> None:
        self._end("", finished.latency)
        self._metrics.request_duration.observe(finished.latency)
        metadata, usage, cost = self._metadata, finished.usage, finished.cost
        if metadata.cache_status is CacheStatus.MISS:
            # Of all attempts, as what was lost to a restart is spent too. A replay made none.
            usage, cost = self._call.attempts.usage() or usage, self._call.attempts.cost()
            self._metrics.request_tokens.observe(usage.input_tokens + usage.output_tokens)
        elif metadata.cache_status in FROM_CACHE:
            self._usage.record_hit(*self._call.target.key, metadata.saved_cost)
        self._layer.log.info(
            "request.completed",
            provider=metadata.provider,
            model=metadata.model,
            finish_reason=finished.reason.value,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            usage_source=usage.source.value,
            cost_nanos=cost.total_nanos if cost else None,
            duration_seconds=round(finished.latency, 6),
            attempts=len(metadata.attempts),
            cache_status=metadata.cache_status.value,
            **({"saved_cost_nanos": metadata.saved_cost.total_nanos} if metadata.saved_cost else {}),
            **self._caller_fields(),
        )

    def _failed(self, error: Exception) -> None:
        if isinstance(error, GatewayError):
            attempts = len(self._call.attempts.records)
            message = _loggable(error)
            self._log_failure(error.reason, message=message, attempts=attempts, upstream_status=error.upstream_status)
        else:
            self._log_failure(INTERNAL_ERROR)

    def _log_failure(self, reason: str, message: str = "", **fields: int | None) -> None:
        self._end(reason)
        provider, model = self._call.target.key
        usage, cost = self._call.attempts.usage(), self._call.attempts.cost()
        self._layer.metrics.request_errors.labels(provider, reason).inc()
        self._layer.log.warning(
            "request.cancelled" if reason == CANCELLED else "request.failed",
            provider=provider,
            model=model,
            reason=reason,
            error_message=message,
            attempt_reasons=_attempt_reasons(self._call.attempts.records),
            duration_seconds=round(self._elapsed(), 6),
            **({"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens} if usage else {}),
            **({"cost_nanos": cost.total_nanos} if cost else {}),
            **fields,
            **self._caller_fields(),
        )

    def _elapsed(self) -> float:
        return self._layer.clock() - self._started_at

    def _caller_fields(self) -> dict[str, object]:
        labels = self._call.labels
        return {"caller": self._call.caller.name, **({"labels": dict(labels)} if labels else {})}

    def _end(self, reason: str, latency: float | None = None) -> None:
        self._layer.in_flight -= 1
        self._usage.in_flight -= 1
        provider, model = self._call.target.key
        metadata = self._metadata
        self._usage.record_call(
            provider,
            model,
            reason,
            used_fallback=(
                not reason
                and metadata.cache_status is CacheStatus.MISS
                and (metadata.provider, metadata.model) != (provider, model)
            ),
            latency=latency,
            time_to_first_token=None if latency is None else metadata.time_to_first_token,
        )


def _loggable(error: GatewayError) -> str:
    """Return the message of an error without secrets and without the prompt that a provider may quote in it."""
    return redact(without_quotations(error.message[:MAX_MESSAGE_LENGTH]), max_length=MAX_MESSAGE_LENGTH)


def _attempt_reasons(records: Sequence[AttemptRecord]) -> list[str]:
    """Return target and reason of each attempt, of the last ones if they are many; the reason is OK for a success."""
    return [
        f"{record.provider}/{record.model} {record.error_reason or 'OK'}" for record in records[-MAX_ATTEMPT_REASONS:]
    ]
