import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog

from aimanager_server.core.errors import ProviderInternalError, RateLimited, StreamInterrupted
from aimanager_server.core.handler import AttemptHandler, CallHandler, compose
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseMetadata, Restarted, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost
from aimanager_server.pipeline.idempotency import replay
from aimanager_server.telemetry.metrics import Metrics
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.layers import single_attempt, telemetry_layer, with_accounting
from tests.support.metrics import sample_value
from tests.support.upstream import FINISHED, RESPONSE_EVENTS, USAGE, ScriptedUpstream

TARGET_LABELS = {"provider": "mock", "model": "mock-large"}


class Setup:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics(lambda provider, model: model == "mock-large")
        self.layer = telemetry_layer(self.metrics, self.clock)
        self.usage_stats = self.layer.usage_stats

    async def send(self, handler: CallHandler, call: Call | None = None) -> ResponseStream:
        return await compose((self.layer,), handler)(call or make_call())

    def with_accounting(self, upstream: AttemptHandler) -> CallHandler:
        """Return a handler that makes one attempt, which metrics and usage statistics read."""
        return single_attempt(with_accounting(upstream, self.clock, (self.metrics, self.usage_stats)))

    def value(self, name: str, **wanted: str) -> float:
        return sample_value(self.metrics.registry, name, **wanted)


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_completed_call_is_counted_timed_and_logged(setup: Setup) -> None:
    cost = Cost(2_000_000_000, 500_000_000)
    usage = replace(USAGE, cache_read_tokens=1, cache_write_tokens=1, reasoning_tokens=1)
    upstream = ScriptedUpstream((*RESPONSE_EVENTS[:2], replace(FINISHED, cost=cost, usage=usage)))

    with structlog.testing.capture_logs() as logs:
        response = await setup.send(setup.with_accounting(upstream), make_call(labels={"team": "a"}))
        setup.clock.advance(2)
        result = await response.result()

    assert result.finished.latency == 2
    assert setup.value("aimanager_requests_total", **TARGET_LABELS, method="unary") == 1
    for kind, count in {"input": 3, "output": 2, "cache_read": 1, "cache_write": 1, "reasoning": 1}.items():
        assert setup.value("aimanager_tokens_total", **TARGET_LABELS, type=kind) == count
    assert setup.value("aimanager_cost_total", **TARGET_LABELS, currency="USD") == 2.5
    assert setup.value("aimanager_request_duration_seconds_sum", **TARGET_LABELS) == 2
    assert setup.value("aimanager_requests_in_flight") == 0
    assert [(log["event"], log["caller"], log["labels"], log["cost_nanos"]) for log in logs] == [
        ("request.completed", "ann", {"team": "a"}, 2_500_000_000)
    ]


async def test_call_is_in_flight_until_its_end(setup: Setup) -> None:
    response = await setup.send(ScriptedUpstream())

    assert setup.value("aimanager_requests_in_flight") == 1
    await response.result()
    assert setup.value("aimanager_requests_in_flight") == 0


async def test_gateway_overhead_excludes_upstream_time(setup: Setup) -> None:
    upstream = ScriptedUpstream()

    async def waiting(request: Call) -> ResponseStream:
        request.upstream_timer.seconds += 0.75
        setup.clock.advance(1)
        return await upstream(request)

    response = await setup.send(waiting)

    assert setup.value("aimanager_gateway_overhead_seconds_sum") == 0.25
    assert response.metadata.time_to_first_token == 1
    await response.aclose()


async def test_error_is_counted_by_reason(setup: Setup) -> None:
    upstream = ScriptedUpstream(ProviderInternalError("down", upstream_status=500))

    with structlog.testing.capture_logs() as logs, pytest.raises(ProviderInternalError):
        await setup.send(setup.with_accounting(upstream))

    assert setup.value("aimanager_request_errors_total", provider="mock", reason="PROVIDER_ERROR") == 1
    assert (logs[0]["event"], logs[0]["attempts"], logs[0]["upstream_status"]) == ("request.failed", 1, 500)


async def test_a_failure_is_logged_with_its_sentence_and_the_reason_of_every_attempt(setup: Setup) -> None:
    quoting = 'Status 400: "tell me a secret" with key sk-ant-api03-abcdefgh ' + "x" * 1000
    call = make_call()
    for number in range(30):
        call.attempts.start("mock", f"m-{number}", 0.0).end(1.0, "PROVIDER_ERROR")

    with structlog.testing.capture_logs() as logs, pytest.raises(ProviderInternalError):
        await setup.send(setup.with_accounting(ScriptedUpstream(ProviderInternalError(quoting))), call)

    (log,) = logs
    assert log["error_message"].startswith('Status 400: "…" with key [redacted] xxx')
    assert len(log["error_message"]) <= 500
    assert log["attempt_reasons"][:2] == ["mock/m-11 PROVIDER_ERROR", "mock/m-12 PROVIDER_ERROR"]
    assert len(log["attempt_reasons"]) == 20


async def test_interrupted_stream_counts_its_tokens(setup: Setup) -> None:
    upstream = ScriptedUpstream((TextDelta(0, "Hel"), StreamInterrupted("cut", usage=USAGE)))
    response = await setup.send(setup.with_accounting(upstream), make_call(streaming=True))

    with pytest.raises(StreamInterrupted):
        await response.result()

    assert setup.value("aimanager_tokens_total", **TARGET_LABELS, type="output") == 2
    assert setup.value("aimanager_request_errors_total", provider="mock", reason="STREAM_INTERRUPTED") == 1
    assert setup.value("aimanager_requests_total", **TARGET_LABELS, method="stream") == 1


@pytest.mark.parametrize(
    ("error", "reason", "event"),
    [
        (asyncio.CancelledError(), "CANCELLED", "request.cancelled"),
        (KeyError("bug"), "INTERNAL_ERROR", "request.failed"),
    ],
)
async def test_cancellations_and_bugs_have_different_reasons(
    setup: Setup, error: BaseException, reason: str, event: str
) -> None:
    async def failing(_call: Call) -> ResponseStream:
        raise error

    with structlog.testing.capture_logs() as logs, pytest.raises(type(error)):
        await setup.send(failing)

    assert setup.value("aimanager_request_errors_total", provider="mock", reason=reason) == 1
    assert logs[0]["event"] == event


async def test_cancelled_call_is_recorded_once(setup: Setup) -> None:
    upstream = ScriptedUpstream()
    response = await setup.send(upstream)

    await response.aclose()
    await response.aclose()

    assert setup.value("aimanager_request_errors_total", provider="mock", reason="CANCELLED") == 1
    assert setup.value("aimanager_requests_in_flight") == 0
    assert upstream.closed == 1


async def test_call_cancelled_while_streaming_is_logged_with_its_usage(setup: Setup) -> None:
    upstream = ScriptedUpstream((TextDelta(0, "t" * 40), *RESPONSE_EVENTS))
    response = await setup.send(setup.with_accounting(upstream), make_call("x" * 400))
    events = aiter(response)
    await anext(events)

    with structlog.testing.capture_logs() as logs:
        await events.aclose()  # type: ignore[attr-defined]  # a generator, as the RPC closes it
        await response.aclose()

    assert [(log["event"], log["input_tokens"], log["output_tokens"]) for log in logs] == [
        ("request.cancelled", 101, 10)
    ]


async def test_call_closed_after_its_deadline_counts_as_deadline_exceeded(setup: Setup) -> None:
    response = await setup.send(ScriptedUpstream(), make_call(deadline=setup.clock.time + 1))
    setup.clock.advance(2)

    await response.aclose()

    assert setup.value("aimanager_request_errors_total", provider="mock", reason="DEADLINE_EXCEEDED") == 1


async def test_replayed_response_counts_no_tokens(setup: Setup) -> None:
    stored = await (await ScriptedUpstream()(make_call())).result()

    async def replayed(_call: Call) -> ResponseStream:
        return replay(stored)

    result = await (await setup.send(replayed)).result()

    assert result.finished.usage == USAGE
    assert setup.value("aimanager_tokens_total", **TARGET_LABELS, type="output") == 0


async def test_unknown_models_share_one_series(setup: Setup) -> None:
    target = make_call().target

    for name in ("invented-1", "invented-2"):
        await (await setup.send(ScriptedUpstream(), make_call(targets=(replace(target, model=name),)))).result()

    assert setup.value("aimanager_requests_total", provider="mock", model="other", method="unary") == 2
    assert setup.value("aimanager_requests_total", provider="mock", model="invented-1", method="unary") == 0


async def test_second_completion_event_is_ignored(setup: Setup) -> None:
    twice: tuple[Any, ...] = (*RESPONSE_EVENTS, FINISHED)

    await (await setup.send(ScriptedUpstream(twice))).result()

    assert setup.value("aimanager_request_duration_seconds_count", **TARGET_LABELS) == 1


async def test_rejection_by_an_inner_observer_ends_the_call(setup: Setup) -> None:
    class Reject:
        def observe(self, call: Call) -> None:
            raise RateLimited("slow down")

    with structlog.testing.capture_logs() as logs, pytest.raises(RateLimited):
        await compose((setup.layer, Reject()), ScriptedUpstream())(make_call())

    assert [(log["event"], log["reason"], log["attempts"]) for log in logs] == [("request.failed", "RATE_LIMITED", 0)]
    assert setup.value("aimanager_requests_in_flight") == setup.layer.in_flight == 0


async def test_log_line_and_statistics_sum_all_attempts(setup: Setup) -> None:
    call = make_call()
    attempts = ScriptedUpstream(ProviderInternalError("down", usage=USAGE))
    handler = setup.with_accounting(attempts)

    async def two_attempts(call: Call) -> ResponseStream:
        with pytest.raises(ProviderInternalError):
            await handler(call)
        return await handler(call)

    with structlog.testing.capture_logs() as logs, pytest.raises(ProviderInternalError):
        await setup.send(two_attempts, call)

    assert [(log["input_tokens"], log["output_tokens"], log["attempts"]) for log in logs] == [(6, 4, 2)]
    total = setup.usage_stats.summary(60).total
    assert (total.requests, total.failures, total.input_tokens, total.output_tokens) == (1, 1, 6, 4)
    assert total.failures_by_reason == {"PROVIDER_ERROR": 1}


async def test_answer_of_another_target_counts_as_a_fallback(setup: Setup) -> None:
    async def fallback(call: Call) -> ResponseStream:
        metadata = ResponseMetadata(call.id, call.requested_model, "claude", "claude-opus-5-5")
        return ResponseStream.of(metadata, list(RESPONSE_EVENTS))

    await (await setup.send(fallback)).result()

    (row,) = setup.usage_stats.summary(60).rows
    assert (row.provider, row.model, row.requests, row.fallbacks) == ("mock", "mock-large", 1, 1)


async def test_restarted_response_reports_the_time_to_its_new_first_content(setup: Setup) -> None:
    restarted = ResponseMetadata("call-1", "mock/latest", "claude", "claude-opus-5-5")

    async def restarting(call: Call) -> ResponseStream:
        setup.clock.advance(1)
        return await ScriptedUpstream((TextDelta(0, "Hel"), Restarted(restarted), *RESPONSE_EVENTS))(call)

    stream = await setup.send(restarting, make_call(streaming=True))
    await stream.read()
    setup.clock.advance(2)
    with structlog.testing.capture_logs() as logs:
        result = await stream.result()

    assert (stream.metadata.time_to_first_token, result.metadata.time_to_first_token) == (1, 3)
    assert [(log["provider"], log["model"]) for log in logs] == [("claude", "claude-opus-5-5")]
    assert setup.value("aimanager_time_to_first_token_seconds_sum", **TARGET_LABELS) == 1


async def test_time_to_first_token_set_by_an_inner_layer_is_kept(setup: Setup) -> None:
    async def reads_to_the_end(call: Call) -> ResponseStream:
        stream = await ScriptedUpstream()(call)
        stream.metadata.time_to_first_token = 0.5
        setup.clock.advance(4)
        return stream

    response = await setup.send(reads_to_the_end)

    assert response.metadata.time_to_first_token == 0.5
    await response.aclose()
