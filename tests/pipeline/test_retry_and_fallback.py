import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.handler import AttemptHandler
from aimanager_server.core.request import Attempt, StreamTimeouts, Target
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.retry_and_fallback import upstream_mode
from tests.support.calls import TARGET, make_call
from tests.support.clock import FakeClock
from tests.support.layers import new_metrics, retry_layer, retrying, with_accounting
from tests.support.metrics import sample_value
from tests.support.upstream import RESPONSE_EVENTS, USAGE, ScriptedUpstream

OTHER = Target("claude", "claude-opus-5-5")
LARGER = Target("openai", "gpt-large", context_window=1_000_000)


def new_error(kind: type[GatewayError], retry_after: float | None = None) -> GatewayError:
    return kind("failed", retry_after=retry_after)


async def test_error_before_first_content_is_retried() -> None:
    upstream = ScriptedUpstream(new_error(errors.ProviderOverloaded), RESPONSE_EVENTS)

    response = await retrying(FakeClock(), upstream)(make_call())

    assert [attempt.error_reason for attempt in response.metadata.attempts] == ["PROVIDER_OVERLOADED", ""]
    assert (await response.result()).message.parts


async def test_retries_stop_after_three_attempts_and_raise_the_first_error() -> None:
    clock, call = FakeClock(), make_call()
    first = new_error(errors.ProviderOverloaded)
    upstream = ScriptedUpstream(first, new_error(errors.ProviderInternalError))

    with pytest.raises(errors.ProviderOverloaded) as raised:
        await retrying(clock, upstream)(call)

    assert raised.value.message == "failed. The last attempt failed with PROVIDER_ERROR: failed"
    assert [attempt.error_reason for attempt in call.attempts.records] == [
        "PROVIDER_OVERLOADED",
        "PROVIDER_ERROR",
        "PROVIDER_ERROR",
    ]
    assert clock.sleeps == [0.25, 0.5]


async def test_an_attempt_that_is_cancelled_before_it_is_sent_has_ended() -> None:
    clock, call, upstream = FakeClock(), make_call(), ScriptedUpstream()

    async def queue(attempt: Attempt[Any], proceed: AttemptHandler) -> ResponseStream:
        clock.advance(0.5)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await retrying(clock, upstream, [queue])(call)

    assert [(record.error_reason, record.duration) for record in call.attempts.records] == [("CANCELLED", 0.5)]


async def test_backoff_counts_as_upstream_time() -> None:
    call, upstream = make_call(), ScriptedUpstream(new_error(errors.ProviderInternalError), RESPONSE_EVENTS)

    await retrying(FakeClock(), upstream)(call)

    assert call.upstream_timer.seconds > 0


async def test_backoff_is_not_part_of_an_attempts_duration() -> None:
    clock, call = FakeClock(), make_call()
    scripted = ScriptedUpstream(new_error(errors.ProviderInternalError), RESPONSE_EVENTS)

    async def slow(attempt: Attempt[Any]) -> ResponseStream:
        clock.advance(0.5)
        return await scripted(attempt)

    await retrying(clock, slow)(call)

    assert [record.duration for record in call.attempts.records] == [0.5, 0.5]
    assert clock.sleeps == [0.25]


async def test_next_target_is_tried_when_the_first_fails() -> None:
    clock, upstream = FakeClock(), ScriptedUpstream(new_error(errors.ProviderCredentialsInvalid), RESPONSE_EVENTS)

    response = await retrying(clock, upstream)(make_call(targets=(TARGET, OTHER)))

    assert (response.metadata.provider, response.metadata.model) == (OTHER.provider, OTHER.model)
    assert [sent.target for sent in upstream.requests] == [TARGET, OTHER]
    assert clock.sleeps == []


async def test_first_error_is_raised_with_all_attempts_if_all_targets_fail() -> None:
    call = make_call(targets=(TARGET, OTHER))
    upstream = ScriptedUpstream(new_error(errors.ProviderCredentialsInvalid), new_error(errors.ProviderQuotaExhausted))

    with pytest.raises(errors.ProviderCredentialsInvalid) as raised:
        await retrying(FakeClock(), upstream)(call)

    attempts = [(attempt.provider, attempt.error_reason) for attempt in call.attempts.records]
    assert attempts == [("mock", "PROVIDER_CREDENTIALS_INVALID"), ("claude", "PROVIDER_QUOTA_EXHAUSTED")]
    assert raised.value.with_attempts(call.attempts).attempts == tuple(call.attempts.records)


async def test_request_rejected_by_the_provider_has_no_fallback() -> None:
    upstream = ScriptedUpstream(new_error(errors.ProviderRejectedRequest))

    with pytest.raises(errors.ProviderRejectedRequest):
        await retrying(FakeClock(), upstream)(make_call(targets=(TARGET, OTHER)))

    assert len(upstream.requests) == 1


async def test_context_overflow_falls_back_to_larger_windows_only() -> None:
    small = replace(TARGET, context_window=8_000)
    upstream = ScriptedUpstream(new_error(errors.ContextTooLong), RESPONSE_EVENTS)

    response = await retrying(FakeClock(), upstream)(make_call(targets=(small, OTHER, LARGER)))

    assert response.metadata.model == LARGER.model
    assert len(upstream.requests) == 2


async def test_backoff_beyond_the_deadline_is_not_waited_for() -> None:
    clock = FakeClock()
    call = make_call(deadline=clock.time + 1)
    upstream = ScriptedUpstream(new_error(errors.ProviderRateLimited, retry_after=5))

    with pytest.raises(errors.ProviderRateLimited):
        await retrying(clock, upstream)(call)

    assert clock.sleeps == []
    assert len(upstream.requests) == 1
    assert len(call.attempts.records) == 1


async def test_spent_retry_budget_stops_retries() -> None:
    upstream = ScriptedUpstream(new_error(errors.ProviderInternalError))
    handle = retrying(FakeClock(), upstream, random=0.0, budget_burst=2)

    for _ in range(3):
        with pytest.raises(errors.ProviderInternalError):
            await handle(make_call())

    assert len(upstream.requests) == 3 + 2


async def test_retries_and_fallbacks_are_counted_for_the_failing_provider() -> None:
    metrics = new_metrics()
    upstream = ScriptedUpstream(
        new_error(errors.ProviderInternalError), new_error(errors.ProviderCredentialsInvalid), RESPONSE_EVENTS
    )

    await retrying(FakeClock(), upstream, metrics=metrics)(make_call(targets=(TARGET, OTHER)))

    assert sample_value(metrics.registry, "aimanager_retries_total", provider="mock") == 1
    assert sample_value(metrics.registry, "aimanager_fallbacks_total", provider="mock") == 1


async def test_failure_that_was_not_sent_has_a_complete_record() -> None:
    clock, call = FakeClock(), make_call(targets=(TARGET, OTHER))
    rejection = errors.Overloaded("full", usage=USAGE)

    async def queue(attempt: Attempt[Any]) -> ResponseStream:
        clock.advance(2.0)
        raise rejection

    with pytest.raises(errors.Overloaded):
        await retry_layer(clock).over(queue)(call)

    assert [(record.error_reason, record.duration, record.usage) for record in call.attempts.records] == [
        ("OVERLOADED", 2.0, USAGE)
    ] * 2


async def test_error_without_a_sent_request_spends_no_budget() -> None:
    metrics = new_metrics()
    upstream = ScriptedUpstream(new_error(errors.ProviderRateLimited, retry_after=1.0), RESPONSE_EVENTS)

    response = await retry_layer(FakeClock(), budget_burst=0, metrics=metrics).over(upstream)(make_call())

    assert len(response.metadata.attempts) == 2
    assert sample_value(metrics.registry, "aimanager_retries_total", provider="mock") == 0


async def test_requests_sent_earlier_in_the_call_count_as_attempts() -> None:
    clock, call = FakeClock(), make_call()
    for _ in range(2):
        call.attempts.start(*TARGET.key, clock()).sent_at = clock()
    upstream = ScriptedUpstream(new_error(errors.ProviderInternalError))

    with pytest.raises(errors.ProviderInternalError):
        await retrying(clock, upstream)(call)

    assert len(upstream.requests) == 1


async def test_request_is_deposited_once_per_target_of_a_call() -> None:
    layer = retry_layer(FakeClock(), random=0.0, budget_burst=0)
    upstream = ScriptedUpstream(*(RESPONSE_EVENTS,) * 10, new_error(errors.ProviderInternalError), RESPONSE_EVENTS)
    handle = layer.over(with_accounting(upstream))
    for _ in range(9):
        await handle(make_call())
    call = make_call()
    await handle(call)

    with pytest.raises(errors.ProviderInternalError):
        await handle(call)

    assert len(upstream.requests) == 11


async def test_every_attempt_has_its_own_target_and_record() -> None:
    upstream = ScriptedUpstream(
        new_error(errors.ProviderCredentialsInvalid), new_error(errors.ProviderInternalError), RESPONSE_EVENTS
    )
    call = make_call(targets=(TARGET, OTHER))

    await retrying(FakeClock(), upstream)(call)

    assert [sent.target for sent in upstream.requests] == [TARGET, OTHER, OTHER]
    assert [sent.record for sent in upstream.requests] == call.attempts.records
    assert all(sent.call is call for sent in upstream.requests)


async def test_retry_at_the_same_target_keeps_the_fetched_attachments() -> None:
    upstream = ScriptedUpstream(
        new_error(errors.ProviderInternalError), new_error(errors.ProviderCredentialsInvalid), RESPONSE_EVENTS
    )
    fetched, fetches = make_call("with data").messages, list[str]()

    async def fetch(attempt: Attempt[Any]) -> ResponseStream:
        if attempt.target is TARGET and attempt.messages is call.messages:
            fetches.append(attempt.target.model)
            attempt.messages = fetched
        return await upstream(attempt)

    call = make_call(targets=(TARGET, OTHER))
    await retrying(FakeClock(), fetch)(call)

    assert [sent.messages for sent in upstream.requests] == [fetched, fetched, call.messages]
    assert fetches == [TARGET.model]


async def test_bug_in_a_layer_is_not_retried() -> None:
    upstream = ScriptedUpstream()

    async def broken(attempt: Attempt[Any]) -> ResponseStream:
        await upstream(attempt)
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        await retrying(FakeClock(), broken)(make_call(targets=(TARGET, OTHER)))

    assert len(upstream.requests) == 1


def test_single_target_has_no_first_token_timeout() -> None:
    assert upstream_mode(make_call(), TARGET, has_fallbacks=False) == (False, None)


def test_remaining_fallback_enables_upstream_stream_and_first_token_timeout() -> None:
    assert upstream_mode(make_call(), TARGET, has_fallbacks=True) == (True, 10.0)


async def test_last_target_has_no_first_token_timeout() -> None:
    upstream = ScriptedUpstream(new_error(errors.ProviderCredentialsInvalid), RESPONSE_EVENTS)

    await retrying(FakeClock(), upstream)(make_call(targets=(TARGET, OTHER)))

    modes = [(sent.is_streamed, sent.record.is_streamed, sent.first_token_timeout) for sent in upstream.requests]
    assert modes == [(True, True, 10.0), (False, False, None)]


def test_streaming_call_is_streamed_upstream_and_timed_while_a_fallback_remains() -> None:
    call = make_call(streaming=True)

    assert upstream_mode(call, TARGET, has_fallbacks=False) == (True, None)
    assert upstream_mode(call, TARGET, has_fallbacks=True) == (True, 10.0)


def test_explicit_first_token_timeout_applies_to_the_last_target() -> None:
    target = replace(TARGET, timeouts=StreamTimeouts(first_token=3.0, is_explicit=True))

    assert upstream_mode(make_call(), target, has_fallbacks=False) == (True, 3.0)


def test_reasoning_model_is_streamed_upstream() -> None:
    target = replace(TARGET, is_reasoning=True, prefers_streaming=True)

    assert upstream_mode(make_call(), target, has_fallbacks=False) == (True, None)


def test_model_without_streaming_has_no_first_token_timeout() -> None:
    target = replace(TARGET, can_stream=False)

    assert upstream_mode(make_call(), target, has_fallbacks=True) == (False, None)
