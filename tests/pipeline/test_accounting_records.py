"""The record of an attempt: its times, its effect on the health of the provider, and who is notified."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.errors import (
    CircuitOpen,
    GatewayError,
    OutputSchemaMismatch,
    ProviderInternalError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedRequest,
    StreamInterrupted,
)
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey, Attempt
from aimanager_server.core.response import (
    Event,
    TextDelta,
)
from aimanager_server.core.stream import ResponseStream
from tests.support.accounting import AccountingSetup
from tests.support.calls import make_attempt
from tests.support.upstream import RESPONSE_EVENTS, USAGE, ScriptedUpstream


async def test_record_has_the_times_of_the_attempt() -> None:
    setup, attempt = AccountingSetup(), make_attempt(started_at=998.0, is_streamed=True)

    async def slow(request: Attempt[Any]) -> ResponseStream:
        setup.clock.advance(2)
        return await ScriptedUpstream()(request)

    stream = await setup.over(slow)(attempt)
    setup.clock.advance(3)
    await stream.result()

    record = attempt.record
    assert (record.started_at, record.sent_at, record.first_content_at, record.ended_at) == (998, 1000, 1002, 1005)
    assert (record.duration, record.latency, record.time_to_first_token) == (4, 5, 2)


async def test_unary_attempt_has_no_time_to_first_token() -> None:
    attempt = make_attempt()

    await (await AccountingSetup().over(ScriptedUpstream())(attempt)).result()

    assert attempt.record.time_to_first_token is None


async def test_record_names_the_key_but_not_the_secret() -> None:
    attempt = make_attempt(api_key=ApiKey("2", "secret"))

    await (await AccountingSetup().over(ScriptedUpstream())(attempt)).result()

    record = attempt.record
    assert record.key_id == "2"
    assert not any("secret" in str(getattr(record, name)) for name in AttemptRecord.__slots__)


async def test_subscribers_are_notified_once_in_order_with_a_complete_record() -> None:
    setup, attempt = AccountingSetup(), make_attempt()

    stream = await setup.over(ScriptedUpstream())(attempt)
    before_the_end = setup.notified
    await stream.result()
    await stream.aclose()

    assert before_the_end == [("first", "started"), ("second", "started")]
    assert setup.notified == [*before_the_end, ("first", "ended"), ("second", "ended")]
    assert {id(record) for _, _, record, _ in setup.notes} == {id(attempt.record)}
    assert [ended_at for _, _, _, ended_at in setup.notes] == [None, None, 1000, 1000]


async def test_attempt_is_recorded_before_its_reader_sees_the_end() -> None:
    setup, attempt = AccountingSetup(), make_attempt()
    stream = await setup.over(ScriptedUpstream((RESPONSE_EVENTS[-1],)))(attempt)
    seen: list[float | None] = []

    async def commit(events: list[Event]) -> None:
        seen.append(attempt.record.ended_at)

    await stream.finalized_by(commit).read()

    assert seen == [1000]


async def test_rejection_of_a_complete_answer_changes_neither_its_usage_nor_its_effect() -> None:
    setup, attempt = AccountingSetup(), make_attempt()
    stream = await setup.over(ScriptedUpstream())(attempt)

    async def reject(events: list[Event]) -> None:
        attempt.record.reject("OUTPUT_SCHEMA_MISMATCH")
        raise OutputSchemaMismatch("no")

    with pytest.raises(OutputSchemaMismatch):
        await stream.finalized_by(reject).result()

    record = attempt.record
    assert (record.error_reason, record.usage, record.effect) == ("OUTPUT_SCHEMA_MISMATCH", USAGE, "success")
    assert not record.is_interrupted
    assert attempt.call.attempts.interruptions(record.key) == 0
    assert (setup.attempts("success"), setup.tokens("input")) == (1, 3)
    assert setup.notified.count(("first", "ended")) == 1


@pytest.mark.parametrize(
    ("error", "key_id", "effect"),
    [
        (ProviderInternalError("down"), "1", "failure"),
        (ProviderQuotaExhausted("spent"), "1", "credentials"),
        (ProviderQuotaExhausted("spent"), CALLER_KEY_ID, "none"),
        (ProviderRateLimited("slow"), "1", "rate_limited"),
        (ProviderRateLimited("slow"), CALLER_KEY_ID, "none"),
        (ProviderRejectedRequest("odd"), "1", "none"),
        (CircuitOpen("open"), "1", "none"),
    ],
    ids=lambda value: value.reason if isinstance(value, GatewayError) else value,
)
async def test_effect_of_an_error_depends_on_its_class_and_on_the_key(
    error: GatewayError, key_id: str, effect: str
) -> None:
    attempt = make_attempt(api_key=ApiKey(key_id, "secret"))

    with pytest.raises(type(error)):
        await AccountingSetup().over(ScriptedUpstream(error))(attempt)

    assert (attempt.record.effect, attempt.record.solution) == (effect, error.solution)


async def test_interruption_is_recorded_with_effect_and_solution_of_its_cause() -> None:
    attempt = make_attempt()
    interruption = StreamInterrupted("cut")
    interruption.__cause__ = ProviderQuotaExhausted("spent", solution="Add credit.")
    stream = await AccountingSetup().over(ScriptedUpstream((TextDelta(0, "Hel"), interruption)))(attempt)

    with pytest.raises(StreamInterrupted):
        await stream.result()

    record = attempt.record
    assert (record.error_reason, record.effect, record.solution) == ("STREAM_INTERRUPTED", "credentials", "Add credit.")


async def test_bug_is_recorded_as_cancelled_without_effect_on_the_provider() -> None:
    setup, attempt = AccountingSetup(), make_attempt()

    async def failing(request: Attempt[Any]) -> ResponseStream:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await setup.over(failing)(attempt)

    assert (attempt.record.error_reason, attempt.record.effect) == ("CANCELLED", "none")
    assert setup.attempts("CANCELLED") == 1
