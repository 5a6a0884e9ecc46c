from dataclasses import replace

import pytest

from aimanager_server.core import errors
from aimanager_server.core.attempts import AttemptRecord as Try
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import Call, StreamTimeouts, Target
from aimanager_server.core.response import ResponseStream
from aimanager_server.pipeline.retry import narrowed
from tests.support.calls import TARGET, WHOLE, FakeClock, Upstream, call, labels
from tests.support.layers import attempting, booked, metering

OTHER = Target("claude", "claude-opus-5-5")
LARGER = Target("openai", "gpt-large", context_window=1_000_000)


def fault(kind: type[GatewayError], retry_after: float | None = None) -> GatewayError:
    return kind("failed", retry_after=retry_after)


async def test_a_failure_before_the_first_content_is_tried_again() -> None:
    clock, upstream = FakeClock(), Upstream(fault(errors.ProviderOverloaded), WHOLE)

    reply = await attempting(clock)(call(), upstream)

    assert [one.error_reason for one in reply.metadata.attempts] == ["PROVIDER_OVERLOADED", ""]
    assert (await reply.result()).message.parts


async def test_a_target_is_asked_at_most_three_times_and_the_first_fault_is_told() -> None:
    clock = FakeClock()
    first = fault(errors.ProviderOverloaded)
    upstream = Upstream(first, fault(errors.ProviderInternalError))

    with pytest.raises(errors.ProviderOverloaded) as raised:
        await attempting(clock)(call(), upstream)

    assert raised.value is first
    assert [one.error_reason for one in first.attempts] == ["PROVIDER_OVERLOADED", "PROVIDER_ERROR", "PROVIDER_ERROR"]
    assert clock.pauses == [0.25, 0.5]


async def test_pauses_count_as_waiting_not_as_overhead() -> None:
    clock, question = FakeClock(), call()

    await attempting(clock)(question, Upstream(fault(errors.ProviderInternalError), WHOLE))

    assert question.upstream_timer.seconds > 0


async def test_the_next_target_is_asked_when_the_first_cannot_answer() -> None:
    clock, upstream = FakeClock(), Upstream(fault(errors.ProviderCredentialsInvalid), WHOLE)

    reply = await attempting(clock)(call(targets=(TARGET, OTHER)), upstream)

    assert (reply.metadata.provider, reply.metadata.model) == (OTHER.provider, OTHER.model)
    assert [asked.targets for asked in upstream.calls] == [(TARGET,), (OTHER,)]
    assert clock.pauses == []


async def test_where_every_target_fails_the_first_fault_is_told_with_every_attempt() -> None:
    upstream = Upstream(fault(errors.ProviderCredentialsInvalid), fault(errors.ProviderQuotaExhausted))

    with pytest.raises(errors.ProviderCredentialsInvalid) as raised:
        await attempting(FakeClock())(call(targets=(TARGET, OTHER)), upstream)

    tried = [(one.provider, one.error_reason) for one in raised.value.attempts]
    assert tried == [("mock", "PROVIDER_CREDENTIALS_INVALID"), ("claude", "PROVIDER_QUOTA_EXHAUSTED")]


async def test_a_refused_request_is_not_sent_elsewhere() -> None:
    upstream = Upstream(fault(errors.ProviderRejectedRequest))

    with pytest.raises(errors.ProviderRejectedRequest):
        await attempting(FakeClock())(call(targets=(TARGET, OTHER)), upstream)

    assert len(upstream.calls) == 1


async def test_a_prompt_that_is_too_long_passes_over_targets_that_are_no_larger() -> None:
    small = replace(TARGET, context_window=8_000)
    upstream = Upstream(fault(errors.ContextTooLong), WHOLE)

    reply = await attempting(FakeClock())(call(targets=(small, OTHER, LARGER)), upstream)

    assert reply.metadata.model == LARGER.model
    assert len(upstream.calls) == 2


async def test_no_pause_outlives_the_deadline() -> None:
    clock = FakeClock()
    upstream = Upstream(fault(errors.ProviderRateLimited, retry_after=5))

    with pytest.raises(errors.ProviderRateLimited) as raised:
        await attempting(clock)(call(deadline=clock.time + 1), upstream)

    assert clock.pauses == []
    assert len(upstream.calls) == 1
    assert len(raised.value.attempts) == 1


async def test_once_the_budget_is_spent_nothing_is_retried() -> None:
    clock = FakeClock()
    layer, upstream = attempting(clock, random=0.0, reserve=2.0), Upstream(fault(errors.ProviderInternalError))

    for _ in range(3):
        with pytest.raises(errors.ProviderInternalError):
            await layer(call(), booked(upstream))

    assert len(upstream.calls) == 3 + 2


async def test_retries_and_fallbacks_are_counted_at_the_provider_that_made_them_needed() -> None:
    metrics = metering()
    upstream = Upstream(fault(errors.ProviderInternalError), fault(errors.ProviderCredentialsInvalid), WHOLE)

    await attempting(FakeClock(), metrics=metrics)(call(targets=(TARGET, OTHER)), booked(upstream))

    assert labels(metrics.registry, "aimanager_retries_total", provider="mock") == 1
    assert labels(metrics.registry, "aimanager_fallbacks_total", provider="mock") == 1


async def test_what_lies_inside_and_tried_more_than_once_says_so_itself() -> None:
    refused = fault(errors.ProviderCredentialsInvalid)
    refused.attempts = (Try("mock", "a", "X", 0.1), Try("mock", "b", "Y", 0.1))

    reply = await attempting(FakeClock())(call(targets=(TARGET, OTHER)), Upstream(refused, WHOLE))

    assert [one.error_reason for one in reply.metadata.attempts] == ["X", "Y", ""]


async def test_what_was_not_sent_is_not_charged_to_the_budget() -> None:
    """Guard raises so while a provider asks everybody to wait."""
    layer = attempting(FakeClock(), reserve=0.0)
    held = fault(errors.ProviderRateLimited, retry_after=1.0)

    reply = await layer(call(), Upstream(held, WHOLE))

    assert len(reply.metadata.attempts) == 2


async def test_what_lies_inside_and_sends_by_itself_uses_up_the_tries() -> None:
    upstream = Upstream(fault(errors.ProviderInternalError))

    async def sending_thrice(question: Call) -> ResponseStream:
        question.usage_ledger.requests_sent[TARGET.key] += 3
        return await upstream(question)

    with pytest.raises(errors.ProviderInternalError):
        await attempting(FakeClock())(call(), sending_thrice)

    assert len(upstream.calls) == 1


def test_of_two_targets_each_gets_a_question_of_its_own() -> None:
    third = replace(OTHER, model="third")
    first = narrowed(call(targets=(TARGET, OTHER, third)), TARGET, (OTHER, third))

    assert narrowed(first, OTHER, (third,)).targets == (OTHER,)


def test_a_target_alone_is_waited_for_as_long_as_the_deadline_allows() -> None:
    question = call()

    assert narrowed(question, TARGET, ()) is question


def test_where_another_target_is_left_the_provider_streams_and_its_first_content_is_due() -> None:
    first, last = (narrowed(call(targets=(TARGET, OTHER)), TARGET, rest) for rest in ((OTHER,), ()))

    assert (first.is_upstream_streamed, first.first_token_timeout) == (True, 10.0)
    assert (last.is_upstream_streamed, last.first_token_timeout) == (False, None)


def test_a_limit_that_was_asked_for_holds_at_the_last_target_too() -> None:
    target = replace(TARGET, timeouts=StreamTimeouts(first_token=3.0, is_explicit=True))

    asked = narrowed(call(targets=(target,)), target, ())

    assert (asked.is_upstream_streamed, asked.first_token_timeout) == (True, 3.0)


def test_a_model_that_thinks_is_asked_to_stream_so_that_it_shows_signs_of_it() -> None:
    target = replace(TARGET, is_reasoning=True, prefers_streaming=True)

    asked = narrowed(call(targets=(target,)), target, ())

    assert (asked.is_upstream_streamed, asked.first_token_timeout) == (True, None)


def test_a_model_that_cannot_stream_is_never_asked_to_and_so_never_late() -> None:
    target = replace(TARGET, can_stream=False)

    asked = narrowed(call(targets=(target, OTHER)), target, (OTHER,))

    assert (asked.is_upstream_streamed, asked.first_token_timeout) == (False, None)
