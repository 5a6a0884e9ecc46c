import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aimanager_server.core import errors
from aimanager_server.core.content import JsonSchemaFormat, Message, Reasoning, Role, Text
from aimanager_server.core.request import Attempt, Call
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost, Usage, UsageSource
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.clock import FakeClock
from tests.support.event_loop import run_ready_tasks
from tests.support.structured_output import (
    EMULATING,
    INVALID,
    VALID,
    ProviderUpstream,
    answer,
    enforce,
    enforcing,
    json_call,
)
from tests.support.upstream import USAGE


def reasons(call: Call) -> list[str]:
    return [record.error_reason for record in call.attempts.records]


async def test_free_text_passes_unchanged() -> None:
    upstream = ProviderUpstream(answer("Hi"))

    assert await enforce(json_call(output_format=None), upstream) == list(answer("Hi"))


async def test_valid_answer_is_returned_as_json() -> None:
    upstream = ProviderUpstream(answer(VALID))

    events = await enforce(json_call(), upstream)

    assert events[:-1] == list(answer(VALID)[:-1])
    assert events[-1] == Finished(FinishReason.STOP, "stop", USAGE, structured_json=VALID)
    [sent] = upstream.requests
    assert (sent.messages, sent.system_instruction) == (json_call().messages, "")
    assert sent.output_format == json_call().output_format


async def test_invalid_answer_is_repaired_once() -> None:
    upstream = ProviderUpstream(answer(INVALID), answer(VALID))

    events = await enforce(json_call(), upstream)

    prompt, invalid, repair = upstream.requests[1].messages
    assert prompt == json_call().messages[0]
    assert invalid == Message(Role.ASSISTANT, (Text(INVALID),), "mock", "mock-large")
    assert "'city' is a required property" in str(repair.parts[0])
    assert [event.text for event in events if isinstance(event, TextDelta)] == [VALID]


async def test_usage_and_cost_include_the_repair() -> None:
    call = json_call()
    upstream = ProviderUpstream(answer(INVALID, cost=Cost(3, 4)), answer(VALID, cost=Cost(30, 40)))

    response = await enforcing(upstream)(call)
    result = await response.result()

    assert result.finished.usage == Usage(6, 4, source=UsageSource.REPORTED)
    assert result.finished.cost == Cost(33, 44)
    assert result.finished.structured_json == VALID
    assert [
        (attempt.model, attempt.error_reason, attempt.usage, attempt.cost) for attempt in response.metadata.attempts
    ] == [("mock-large", "OUTPUT_SCHEMA_MISMATCH", USAGE, Cost(3, 4)), ("mock-large", "", USAGE, Cost(30, 40))]
    assert (call.attempts.usage(), call.attempts.cost()) == (result.finished.usage, result.finished.cost)


async def test_invalid_repair_raises_with_total_usage() -> None:
    upstream, call = ProviderUpstream(answer(INVALID), answer('{"city": ["secret"]}')), json_call()

    with pytest.raises(errors.OutputSchemaMismatch) as raised:
        await enforce(call, upstream)

    error = raised.value
    assert len(upstream.requests) == 2
    assert error.metadata == {"path": "/city", "keyword": "type"}
    assert error.usage == Usage(6, 4, source=UsageSource.REPORTED)
    assert error.with_attempts(call.attempts).usage == error.usage
    assert reasons(call) == ["OUTPUT_SCHEMA_MISMATCH"] * 2
    assert "secret" not in error.message


async def test_repair_is_listed_among_the_calls_attempts() -> None:
    upstream = ProviderUpstream(errors.ProviderOverloaded("busy"), answer(INVALID), answer(VALID))

    response = await enforcing(upstream)(json_call())

    assert [attempt.error_reason for attempt in response.metadata.attempts] == [
        "PROVIDER_OVERLOADED",
        "OUTPUT_SCHEMA_MISMATCH",
        "",
    ]


async def test_failed_repair_lists_the_usage_of_the_first_answer() -> None:
    call = json_call()

    with pytest.raises(errors.ProviderInternalError):
        await enforce(call, ProviderUpstream(answer(INVALID), errors.ProviderInternalError("failed")))

    first, *others = call.attempts.records
    assert (first.error_reason, first.usage) == ("OUTPUT_SCHEMA_MISMATCH", USAGE)
    assert [record.error_reason for record in others] == ["PROVIDER_ERROR"] * 2


async def test_retry_after_a_failed_repair_asks_the_original_question() -> None:
    upstream = ProviderUpstream(answer(INVALID), errors.ProviderInternalError("failed"), answer(VALID))

    await enforce(json_call(), upstream)

    assert [len(sent.messages) for sent in upstream.requests] == [1, 3, 1]


async def test_interrupted_repair_lists_the_usage_of_both_answers() -> None:
    call, estimate = json_call(), Usage(1, 1, source=UsageSource.ESTIMATED)
    interruption = errors.StreamInterrupted("interrupted", usage=estimate)

    await enforce(call, ProviderUpstream(answer(INVALID), (TextDelta(0, "{"), interruption), answer(VALID)))

    assert reasons(call) == ["OUTPUT_SCHEMA_MISMATCH", "STREAM_INTERRUPTED", ""]
    assert [record.usage for record in call.attempts.records] == [USAGE, estimate, USAGE]


async def test_repair_uses_the_same_key() -> None:
    pool = KeyPool([("secret-1", 1), ("secret-2", 1)], FakeClock())
    upstream = ProviderUpstream(answer(INVALID), answer(VALID))

    await enforcing(upstream, key_pools={"mock": pool})(json_call())

    assert [sent.api_key.id for sent in upstream.requests] == ["1", "1"]


async def test_repair_continues_with_the_next_key_if_its_key_is_rejected() -> None:
    pool = KeyPool([("secret-1", 1), ("secret-2", 1)], FakeClock())
    upstream = ProviderUpstream(answer(INVALID), errors.ProviderQuotaExhausted("spent"), answer(VALID))
    call = json_call()

    result = await (await enforcing(upstream, key_pools={"mock": pool})(call)).result()

    assert [sent.api_key.id for sent in upstream.requests] == ["1", "1", "2"]
    assert [record.key_id for record in call.attempts.records] == ["1", "1", "2"]
    assert upstream.requests[2].messages == upstream.requests[1].messages
    assert result.finished.usage.input_tokens == 6


async def test_repair_that_exceeds_the_context_window_is_a_schema_mismatch_that_says_so() -> None:
    too_long = errors.ContextTooLong("9 tokens of 8", provider="mock", model="mock-large")
    call = json_call()

    with pytest.raises(errors.OutputSchemaMismatch) as raised:
        await enforce(call, ProviderUpstream(answer(INVALID), too_long))

    assert reasons(call) == ["OUTPUT_SCHEMA_MISMATCH", "CONTEXT_TOO_LONG"]
    assert "'required' failed at '/'" in raised.value.message
    assert "The last attempt failed with CONTEXT_TOO_LONG from mock/mock-large: 9 tokens of 8" in raised.value.message
    assert raised.value.metadata["path"] == "/"


async def test_only_the_first_answer_counts_for_the_models_validity() -> None:
    validated: list[tuple[str, str, bool, str]] = []
    upstream = ProviderUpstream(answer(INVALID), answer(VALID), answer(VALID))
    handle = enforcing(upstream, lambda *result: validated.append(result))

    await handle(json_call())
    await handle(json_call())

    assert validated == [("mock", "mock-large", False, "ann"), ("mock", "mock-large", True, "ann")]


@pytest.mark.parametrize(
    "reason",
    [FinishReason.MAX_TOKENS, FinishReason.REFUSAL, FinishReason.CONTENT_FILTER, FinishReason.TOOL_CALLS],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_truncated_or_refused_answer_is_not_validated(reason: FinishReason, *, streaming: bool) -> None:
    upstream = ProviderUpstream(answer("I cannot", reason))

    assert await enforce(json_call(streaming=streaming), upstream) == list(answer("I cannot", reason))
    assert len(upstream.requests) == 1


async def test_refused_repair_is_not_validated() -> None:
    events = await enforce(json_call(), ProviderUpstream(answer(INVALID), answer("No.", FinishReason.REFUSAL)))

    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].structured_json) == (FinishReason.REFUSAL, "")
    assert events[-1].usage.input_tokens == 6


async def test_empty_answer_is_omitted_from_the_repair_prompt() -> None:
    upstream = ProviderUpstream(answer(""), answer(VALID))

    await enforce(json_call(), upstream)

    assert [message.role for message in upstream.requests[1].messages] == [Role.USER, Role.USER]


async def test_only_text_parts_are_validated() -> None:
    events = (PartCompleted(0, Reasoning("hm")), PartCompleted(1, Text(VALID)), Finished(FinishReason.STOP))

    received = await enforce(json_call(), ProviderUpstream(events))

    assert isinstance(received[-1], Finished)
    assert received[-1].structured_json == VALID


@pytest.mark.parametrize("streaming", [False, True])
async def test_schema_that_exceeds_the_validation_budget_is_an_invalid_request(*, streaming: bool) -> None:
    call = json_call(output_format=JsonSchemaFormat("endless", '{"allOf": [{"$ref": "#"}]}'), streaming=streaming)

    with pytest.raises(errors.InvalidRequest) as raised:
        await enforce(call, ProviderUpstream(answer(VALID)))

    assert reasons(call) == ["INVALID_FIELD"]
    assert raised.value.violations[0].field == "output_format.json_schema.schema_json"
    assert raised.value.usage == USAGE


async def test_native_stream_passes_through_and_ends_with_its_json() -> None:
    events = aiter(await enforcing(ProviderUpstream(answer(VALID)))(json_call(streaming=True)))

    assert await anext(events) == TextDelta(0, VALID)
    last = [event async for event in events][-1]
    assert isinstance(last, Finished)
    assert last.structured_json == VALID


async def test_invalid_native_stream_fails_at_its_end() -> None:
    seen: list[Event] = []
    call = json_call(streaming=True)
    response = await enforcing(ProviderUpstream(answer(INVALID)))(call)

    async def read() -> None:
        async for event in response:
            seen.append(event)

    with pytest.raises(errors.OutputSchemaMismatch) as raised:
        await read()

    assert [type(event) for event in seen] == [TextDelta, PartCompleted]
    assert raised.value.usage == USAGE
    assert raised.value.repair is None
    assert reasons(call) == ["OUTPUT_SCHEMA_MISMATCH"]


@pytest.mark.parametrize("streaming", [False, True])
async def test_response_without_completion_event_raises(*, streaming: bool) -> None:
    with pytest.raises(errors.StreamInterrupted) as raised:
        await enforce(json_call(streaming=streaming), ProviderUpstream(answer(VALID)[:-1]))

    assert isinstance(raised.value.__cause__, errors.ProviderProtocolError)


async def test_emulated_stream_hides_the_invalid_answer() -> None:
    upstream = ProviderUpstream(answer(INVALID), answer(VALID))

    events = await enforce(json_call(EMULATING, streaming=True), upstream)

    assert [event.text for event in events if isinstance(event, TextDelta)] == [VALID]
    assert all(sent.is_streamed for sent in upstream.requests)


async def test_upstream_response_is_closed_even_if_unread() -> None:
    upstream = ProviderUpstream(answer(VALID))

    response = await enforcing(upstream)(json_call())

    assert upstream.closed == 1
    await response.aclose()


async def test_cancelled_reader_closes_the_upstream_response() -> None:
    class Silent(ProviderUpstream):
        async def __call__(self, request: Call | Attempt[Any]) -> ResponseStream:
            response = await super().__call__(request)

            async def events() -> AsyncIterator[Event]:
                await asyncio.Event().wait()
                yield TextDelta(0, "")

            return ResponseStream.from_iterator(response.metadata, events(), self._close)

    upstream = Silent()
    task = asyncio.ensure_future(enforce(json_call(), upstream))
    await run_ready_tasks()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstream.closed == 1
