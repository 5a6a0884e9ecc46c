import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core.errors import (
    DeadlineExceeded,
    FirstTokenTimeout,
    GatewayError,
    ProviderInternalError,
    StreamInterrupted,
)
from aimanager_server.core.request import Attempt, Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    ResponseMetadata,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost, Usage, UsageSource
from tests.support.accounting import PRICE, AccountingSetup
from tests.support.calls import make_attempt, make_call
from tests.support.event_loop import run_ready_tasks
from tests.support.upstream import RESPONSE_EVENTS, USAGE, ScriptedUpstream

REPORTED, ESTIMATED = UsageSource.REPORTED, UsageSource.ESTIMATED


class ReportingUpstream(ScriptedUpstream):
    """Reports a fixed usage so far."""

    def __init__(self, usage: Usage | None, *events: Event | StreamInterrupted) -> None:
        super().__init__(events)
        self._usage = usage

    async def __call__(self, request: Call | Attempt[Any]) -> ResponseStream:
        stream = await super().__call__(request)
        return ResponseStream.from_iterator(stream.metadata, aiter(stream), stream.aclose, lambda: self._usage)


async def waiting(request: Attempt[Any]) -> ResponseStream:
    await asyncio.Event().wait()
    raise AssertionError


async def test_completed_attempt_is_priced_and_recorded() -> None:
    setup, attempt = AccountingSetup(), make_attempt()

    result = await (await setup.over(ScriptedUpstream())(attempt)).result()

    record = attempt.record
    assert result.finished.cost == PRICE
    assert attempt.call.attempts.records == [record]
    assert (record.key, record.usage, record.cost) == (("mock", "mock-large"), USAGE, PRICE)
    assert (record.error_reason, record.effect, record.is_interrupted) == ("", "success", False)
    assert setup.attempts("success") == 1
    assert (setup.tokens("input"), setup.tokens("output")) == (3, 2)


async def test_unknown_price_leaves_cost_unset() -> None:
    attempt = make_attempt()

    result = await (await AccountingSetup(price=None).over(ScriptedUpstream())(attempt)).result()

    assert result.finished.cost is None
    assert attempt.call.attempts.usage() == USAGE
    assert attempt.call.attempts.cost() is None


async def test_price_set_by_the_provider_is_kept() -> None:
    cost, attempt = Cost(1, 2, estimated=False), make_attempt()
    upstream = ScriptedUpstream((Finished(FinishReason.STOP, usage=USAGE, cost=cost),))

    result = await (await AccountingSetup().over(upstream)(attempt)).result()

    assert result.finished.cost == attempt.record.cost == cost


async def test_rejected_attempt_records_no_usage() -> None:
    setup, attempt = AccountingSetup(), make_attempt()

    with pytest.raises(ProviderInternalError):
        await setup.over(ScriptedUpstream(ProviderInternalError("down")))(attempt)

    record = attempt.record
    assert (record.usage, record.cost, attempt.call.attempts.usage()) == (None, None, None)
    assert (record.error_reason, record.first_content_at, record.is_interrupted) == ("PROVIDER_ERROR", None, False)
    assert setup.attempts("PROVIDER_ERROR") == 1


async def test_usage_reported_with_an_error_is_charged() -> None:
    setup, attempt = AccountingSetup(), make_attempt()

    with pytest.raises(ProviderInternalError):
        await setup.over(ScriptedUpstream(ProviderInternalError("down", usage=USAGE)))(attempt)

    assert (attempt.record.usage, attempt.record.cost) == (USAGE, PRICE)
    assert setup.tokens("input") == 3


@pytest.mark.parametrize("error", [FirstTokenTimeout("late"), DeadlineExceeded("late")])
async def test_timeout_before_first_content_is_charged_for_the_prompt(error: GatewayError) -> None:
    attempt = make_attempt(make_call("x" * 400))

    with pytest.raises(type(error)) as raised:
        await AccountingSetup().over(ScriptedUpstream(error))(attempt)

    reported = raised.value.with_attempts(attempt.call.attempts)
    assert attempt.record.usage == reported.usage == Usage(input_tokens=101, source=ESTIMATED)
    assert attempt.record.cost == reported.cost == PRICE


async def test_missing_usage_is_estimated_in_response_and_record() -> None:
    attempt = make_attempt(make_call("x" * 400))
    upstream = ScriptedUpstream((TextDelta(0, "t" * 40), Finished(FinishReason.STOP)))

    result = await (await AccountingSetup().over(upstream)(attempt)).result()

    assert result.finished.usage == attempt.record.usage == Usage(101, 10, source=ESTIMATED)
    assert result.finished.cost == PRICE


async def test_total_that_the_provider_reported_as_an_impossible_number_is_estimated() -> None:
    attempt = make_attempt(make_call("x" * 400))
    upstream = ScriptedUpstream(
        (TextDelta(0, "t" * 40), Finished(FinishReason.STOP, usage=Usage(90, 0, 30, source=ESTIMATED)))
    )

    result = await (await AccountingSetup().over(upstream)(attempt)).result()

    assert result.finished.usage == attempt.record.usage == Usage(90, 10, 30, source=ESTIMATED)


async def test_interrupted_stream_is_charged_for_its_estimated_usage() -> None:
    attempt = make_attempt(make_call("x" * 400))
    deltas = (TextDelta(0, "t" * 20), ReasoningDelta(0, "r" * 10), ToolCallDelta(1, "", "", "a" * 10))

    stream = await AccountingSetup().over(ReportingUpstream(None, *deltas, StreamInterrupted("cut")))(attempt)
    with pytest.raises(StreamInterrupted) as raised:
        await stream.result()

    error, record = raised.value.with_attempts(attempt.call.attempts), attempt.record
    assert record.usage == error.usage == Usage(input_tokens=101, output_tokens=10, source=ESTIMATED)
    assert record.cost == error.cost == PRICE
    assert error.attempts == (record,)
    assert record.is_interrupted
    assert attempt.call.attempts.interruptions(("mock", "mock-large")) == 1


async def test_error_of_a_call_has_the_usage_and_cost_of_all_attempts() -> None:
    setup, call = AccountingSetup(), make_call()
    await (await setup.over(ScriptedUpstream())(make_attempt(call))).result()
    error = ProviderInternalError("down", usage=USAGE)

    with pytest.raises(ProviderInternalError) as raised:
        await setup.over(ScriptedUpstream(error))(make_attempt(call))

    reported = raised.value.with_attempts(call.attempts)
    assert reported.usage == replace(USAGE, input_tokens=6, output_tokens=4)
    assert reported.cost == Cost(4_000_000_000, 1_000_000_000)
    assert [record.error_reason for record in reported.attempts] == ["", "PROVIDER_ERROR"]
    assert raised.value.attempts == ()


async def test_usage_reported_with_an_interruption_is_kept() -> None:
    attempt, usage = make_attempt(), Usage(input_tokens=7, output_tokens=50, source=REPORTED)
    interruption = StreamInterrupted("cut", usage=usage)

    stream = await AccountingSetup().over(ReportingUpstream(None, TextDelta(0, "word"), interruption))(attempt)
    with pytest.raises(StreamInterrupted):
        await stream.result()

    assert attempt.record.usage == usage


async def test_usage_so_far_completes_an_interruption_without_usage() -> None:
    attempt, usage = make_attempt(), Usage(input_tokens=7, output_tokens=50, source=REPORTED)

    stream = await AccountingSetup().over(ReportingUpstream(usage, TextDelta(0, "word"), StreamInterrupted("cut")))(
        attempt
    )
    with pytest.raises(StreamInterrupted):
        await stream.result()

    assert attempt.record.usage == usage


async def test_closed_response_is_recorded_once_as_cancelled() -> None:
    setup, attempt = AccountingSetup(), make_attempt()
    usage = Usage(input_tokens=9, source=REPORTED)
    stream = await setup.over(ReportingUpstream(usage, TextDelta(0, "four"), *RESPONSE_EVENTS))(attempt)
    await stream.read()

    await stream.aclose()
    await stream.aclose()

    assert attempt.record.usage == Usage(input_tokens=9, output_tokens=1, source=ESTIMATED)
    assert (attempt.record.effect, attempt.record.is_interrupted) == ("none", False)
    assert setup.attempts("CANCELLED") == 1
    assert setup.notified.count(("first", "ended")) == 1


async def test_closing_a_completed_response_records_nothing_more() -> None:
    setup, attempt = AccountingSetup(), make_attempt()
    stream = await setup.over(ScriptedUpstream())(attempt)
    await stream.result()
    setup.clock.advance(5)

    await stream.aclose()

    assert len(attempt.call.attempts.records) == 1
    assert attempt.record.ended_at == 1000
    assert setup.notified.count(("first", "ended")) == 1


async def test_cancellation_before_first_content_is_charged_for_the_prompt() -> None:
    setup, attempt = AccountingSetup(), make_attempt(make_call("x" * 400))
    task = asyncio.ensure_future(setup.over(waiting)(attempt))
    await run_ready_tasks()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert attempt.record.usage == Usage(input_tokens=101, source=ESTIMATED)
    assert attempt.record.error_reason == "CANCELLED"
    assert setup.attempts("CANCELLED") == 1


async def test_cancelled_reader_is_charged_for_prompt_and_output_so_far() -> None:
    attempt = make_attempt(make_call("x" * 400))

    async def events() -> AsyncIterator[Event]:
        yield TextDelta(0, "t" * 40)
        await asyncio.Event().wait()

    async def close() -> None: ...

    async def upstream(request: Attempt[Any]) -> ResponseStream:
        return ResponseStream.from_iterator(ResponseMetadata("1", "", "mock", "mock-large"), events(), close)

    stream = await AccountingSetup().over(upstream)(attempt)
    task = asyncio.ensure_future(stream.result())
    await run_ready_tasks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert attempt.record.usage == Usage(input_tokens=101, output_tokens=10, source=ESTIMATED)
