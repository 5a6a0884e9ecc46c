import pytest

from aimanager_server.core import errors
from aimanager_server.core.content import JsonSchemaFormat, Message, Reasoning, Role, Text
from aimanager_server.core.response import Finished, FinishReason, PartCompleted, TextDelta
from aimanager_server.core.usage import Cost, Usage, UsageSource
from aimanager_server.pipeline.structured_output import Conform
from tests.support.calls import USAGE, FakeClock, Upstream
from tests.support.layers import attempting
from tests.support.structured_output import BAD, GOOD, conformed, question, saying


async def test_free_text_passes_untouched() -> None:
    upstream = Upstream(saying("Hi"))

    assert await conformed(question(wanted=None), upstream) == list(saying("Hi"))


async def test_an_answer_that_fits_is_given_as_json() -> None:
    upstream = Upstream(saying(GOOD))

    events = await conformed(question(), upstream)

    assert events[:-1] == list(saying(GOOD)[:-1])
    assert events[-1] == Finished(FinishReason.STOP, "stop", USAGE, structured_json=GOOD)
    assert upstream.calls == [question()]


async def test_an_answer_that_misses_its_schema_is_repaired_once() -> None:
    upstream = Upstream(saying(BAD), saying(GOOD))

    events = await conformed(question(), upstream)

    asked, answer, complaint = upstream.calls[1].messages
    assert asked == question().messages[0]
    assert answer == Message(Role.ASSISTANT, (Text(BAD),), "mock", "mock-large")
    assert "'city' is a required property" in str(complaint.parts[0])
    assert [event.text for event in events if isinstance(event, TextDelta)] == [GOOD]


async def test_usage_and_cost_of_both_turns_are_added_up_and_both_are_listed() -> None:
    upstream = Upstream(saying(BAD, cost=Cost(3, 4)), saying(GOOD, cost=Cost(30, 40)))

    reply = await Conform(FakeClock())(question(), upstream)
    completion = await reply.result()

    assert completion.finished.usage == Usage(6, 4, source=UsageSource.REPORTED)
    assert completion.finished.cost == Cost(33, 44)
    assert completion.finished.structured_json == GOOD
    assert [(one.model, one.error_reason) for one in reply.metadata.attempts] == [
        ("mock-large", "OUTPUT_SCHEMA_MISMATCH"),
        ("mock-large", ""),
    ]


async def test_after_one_repair_the_answer_is_refused_with_what_it_took() -> None:
    upstream = Upstream(saying(BAD), saying('{"city": ["secret"]}'))

    with pytest.raises(errors.OutputSchemaMismatch) as raised:
        await conformed(question(), upstream)

    fault = raised.value
    assert len(upstream.calls) == 2
    assert fault.metadata == {"path": "/city", "keyword": "type"}
    assert fault.usage == Usage(6, 4, source=UsageSource.REPORTED)
    assert [one.error_reason for one in fault.attempts] == ["OUTPUT_SCHEMA_MISMATCH"] * 2
    assert "secret" not in fault.message


async def test_attempt_lists_the_repair_among_its_own_tries() -> None:
    clock = FakeClock()
    attempt, conform = attempting(clock), Conform(clock)
    upstream = Upstream(errors.ProviderOverloaded("busy"), saying(BAD), saying(GOOD))

    reply = await attempt(question(), lambda call: conform(call, upstream))

    reasons = [one.error_reason for one in reply.metadata.attempts]
    assert reasons == ["PROVIDER_OVERLOADED", "OUTPUT_SCHEMA_MISMATCH", ""]


async def test_attempt_lists_both_turns_of_a_mismatch() -> None:
    clock = FakeClock()
    attempt, conform = attempting(clock), Conform(clock)

    with pytest.raises(errors.OutputSchemaMismatch) as raised:
        await attempt(question(), lambda call: conform(call, Upstream(saying(BAD))))

    assert [one.error_reason for one in raised.value.attempts] == ["OUTPUT_SCHEMA_MISMATCH"] * 2


async def test_a_repair_that_fails_tells_what_the_first_turn_took() -> None:
    failed = errors.ProviderInternalError("failed")

    with pytest.raises(errors.ProviderInternalError):
        await conformed(question(), Upstream(saying(BAD), failed))

    first, second = failed.attempts
    assert (first.error_reason, first.usage) == ("OUTPUT_SCHEMA_MISMATCH", USAGE)
    assert second.error_reason == "PROVIDER_ERROR"


async def test_a_repair_that_is_cut_tells_what_both_turns_took() -> None:
    cut = errors.StreamInterrupted("cut")
    cut.usage = Usage(1, 1, source=UsageSource.ESTIMATED)

    with pytest.raises(errors.StreamInterrupted):
        await conformed(question(), Upstream(saying(BAD), (TextDelta(0, "{"), cut)))

    assert [one.usage for one in cut.attempts] == [USAGE, Usage(1, 1, source=UsageSource.ESTIMATED)]


@pytest.mark.parametrize(
    "reason",
    [FinishReason.MAX_TOKENS, FinishReason.REFUSAL, FinishReason.CONTENT_FILTER, FinishReason.TOOL_CALLS],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_an_answer_that_was_cut_or_refused_is_as_it_is(reason: FinishReason, *, streaming: bool) -> None:
    upstream = Upstream(saying("I cannot", reason))

    assert await conformed(question(streaming=streaming), upstream) == list(saying("I cannot", reason))
    assert len(upstream.calls) == 1


async def test_a_repair_that_is_refused_is_as_it_is() -> None:
    events = await conformed(question(), Upstream(saying(BAD), saying("No.", FinishReason.REFUSAL)))

    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].structured_json) == (FinishReason.REFUSAL, "")
    assert events[-1].usage.input_tokens == 6


async def test_an_empty_answer_is_not_quoted_in_the_repair() -> None:
    upstream = Upstream(saying(""), saying(GOOD))

    await conformed(question(), upstream)

    assert [message.role for message in upstream.calls[1].messages] == [Role.USER, Role.USER]


async def test_only_text_is_held_to_the_schema() -> None:
    answer = (PartCompleted(0, Reasoning("hm")), PartCompleted(1, Text(GOOD)), Finished(FinishReason.STOP))

    events = await conformed(question(), Upstream(answer))

    assert isinstance(events[-1], Finished)
    assert events[-1].structured_json == GOOD


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_schema_that_takes_too_long_to_check_is_the_callers(*, streaming: bool) -> None:
    endless = JsonSchemaFormat("endless", '{"allOf": [{"$ref": "#"}]}')

    with pytest.raises(errors.InvalidRequest) as raised:
        await conformed(question(wanted=endless, streaming=streaming), Upstream(saying(GOOD)))

    assert raised.value.violations[0].field == "output_format.json_schema.schema_json"
    assert raised.value.usage == USAGE
