import pytest

from aimanager_server.core.errors import OutputSchemaMismatch, ProviderCredentialsInvalid, StreamInterrupted
from aimanager_server.core.response import Event, ReasoningProgress, Restarted
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.calls import WHOLE
from tests.support.http_servers.truncated import PIECE, RAN, SECOND, Answers, cut, events_of, rescue, streamed


async def test_a_fault_of_another_kind_after_a_restart_is_told_with_every_attempt_and_all_that_was_paid() -> None:
    reply = await rescue()(streamed(), Answers((PIECE, cut()), (PIECE, OutputSchemaMismatch("missed"))))

    with pytest.raises(StreamInterrupted) as raised:
        await events_of(reply)

    assert isinstance(raised.value.__cause__, OutputSchemaMismatch)
    assert [one.error_reason for one in raised.value.attempts] == ["STREAM_INTERRUPTED", "OUTPUT_SCHEMA_MISMATCH"]
    assert raised.value.usage == Usage(5, 3, source=UsageSource.ESTIMATED)


async def test_a_stream_fails_where_a_restart_was_not_asked_for() -> None:
    reply = await rescue()(streamed(restarts=False), Answers((PIECE, cut()), WHOLE))
    seen: list[Event] = []

    async def read() -> None:
        async for event in reply:
            seen.append(event)

    with pytest.raises(StreamInterrupted) as raised:
        await read()

    assert seen == [PIECE]
    assert raised.value.usage == Usage(5, 3, source=UsageSource.ESTIMATED)
    assert [one.error_reason for one in raised.value.attempts] == ["STREAM_INTERRUPTED"]


async def test_a_stream_restarts_where_that_was_asked_for() -> None:
    reply = await rescue()(streamed(), Answers((PIECE, cut()), WHOLE))

    first, restarted, *rest = await events_of(reply)

    assert first == PIECE
    assert isinstance(restarted, Restarted)
    assert restarted.metadata.provider == SECOND.provider
    assert [one.error_reason for one in restarted.metadata.attempts] == ["STREAM_INTERRUPTED", ""]
    assert tuple(rest) == WHOLE


async def test_a_stream_restarts_again_as_long_as_targets_are_left() -> None:
    inside = Answers((PIECE, cut()), (PIECE, cut()), WHOLE)

    events = await events_of(await rescue()(streamed(), inside))

    assert sum(isinstance(event, Restarted) for event in events) == 2
    assert inside.asked[-1] == ("openai",)


async def test_a_stream_never_restarts_once_a_tool_call_is_whole() -> None:
    inside = Answers((RAN, cut()), WHOLE)
    reply = await rescue()(streamed(), inside)

    with pytest.raises(StreamInterrupted):
        await events_of(reply)

    assert len(inside.asked) == 1


async def test_where_the_restart_fails_too_the_first_fault_is_told_with_every_attempt() -> None:
    reply = await rescue()(streamed(), Answers((PIECE, cut()), ProviderCredentialsInvalid("refused")))

    with pytest.raises(StreamInterrupted) as raised:
        await events_of(reply)

    reasons = [one.error_reason for one in raised.value.attempts]
    assert reasons == ["STREAM_INTERRUPTED", "PROVIDER_CREDENTIALS_INVALID"]


async def test_while_a_model_only_thinks_a_restart_is_not_seen() -> None:
    inside = Answers((ReasoningProgress(), ReasoningProgress(), cut()), WHOLE)

    events = await events_of(await rescue()(streamed(restarts=False), inside))

    assert tuple(events) == WHOLE
    assert len(inside.asked) == 2


async def test_thinking_is_not_passed_on() -> None:
    events = await events_of(
        await rescue()(streamed(), Answers((ReasoningProgress(), PIECE, ReasoningProgress(), *WHOLE[1:])))
    )

    assert tuple(events) == (PIECE, *WHOLE[1:])


async def test_closing_a_stream_reaches_the_answer_under_way() -> None:
    inside = Answers((PIECE, cut()), WHOLE)
    reply = await rescue()(streamed(), inside)
    events = aiter(reply)
    while not isinstance(await anext(events), Restarted):
        pass

    await reply.aclose()

    assert inside.closed == 1
