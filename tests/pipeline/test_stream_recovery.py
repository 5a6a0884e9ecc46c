from collections.abc import AsyncIterator

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import ContentBlocked, GatewayError, ProviderCredentialsInvalid, StreamInterrupted
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.calls import END, TARGET, WHOLE, FakeClock, call
from tests.support.http_servers.truncated import CHAIN, PIECE, SECOND, Answers, cut, rescue


async def test_a_unary_answer_that_breaks_off_is_given_whole_by_the_next_target() -> None:
    inside = Answers((PIECE, cut()), WHOLE)

    completion = await (await rescue()(call(targets=CHAIN), inside)).result()

    assert completion.message.parts == (Text("Hello."),)
    assert (completion.metadata.provider, completion.metadata.model) == (SECOND.provider, SECOND.model)
    assert [(one.provider, one.error_reason) for one in completion.metadata.attempts] == [
        ("mock", "STREAM_INTERRUPTED"),
        ("claude", ""),
    ]
    assert completion.metadata.attempts[0].usage == Usage(5, 3, source=UsageSource.ESTIMATED)
    assert inside.asked == [("mock", "claude", "openai"), ("claude", "openai")]


async def test_a_unary_answer_without_another_target_begins_once_more_at_the_same() -> None:
    inside = Answers((PIECE, cut()), WHOLE)

    completion = await (await rescue()(call(), inside)).result()

    assert completion.message.parts == (Text("Hello."),)
    assert inside.asked == [("mock",), ("mock",)]


async def test_a_second_break_at_the_only_target_is_told_with_all_that_was_paid() -> None:
    first = cut()
    inside = Answers((PIECE, first), (PIECE, cut()))

    with pytest.raises(StreamInterrupted) as raised:
        await rescue()(call(), inside)

    assert raised.value is first
    assert [one.error_reason for one in first.attempts] == ["STREAM_INTERRUPTED", "STREAM_INTERRUPTED"]
    assert first.usage == Usage(10, 6, source=UsageSource.ESTIMATED)


async def test_an_answer_that_took_three_sendings_to_begin_is_not_begun_again() -> None:
    question = call()
    question.usage_ledger.requests_sent[TARGET.key] = 2

    with pytest.raises(StreamInterrupted):
        await rescue()(question, Answers((PIECE, cut()), WHOLE))


async def test_beginning_again_is_paid_for_by_the_retry_budget() -> None:
    layer = rescue(reserve=1.0)
    await layer(call(), Answers((PIECE, cut()), WHOLE))

    with pytest.raises(StreamInterrupted):
        await layer(call(), Answers((PIECE, cut()), WHOLE))


async def test_a_policy_that_breaks_an_answer_off_is_not_got_round_elsewhere() -> None:
    inside = Answers((PIECE, cut(ContentBlocked("no"))), WHOLE)

    with pytest.raises(StreamInterrupted):
        await rescue()(call(targets=CHAIN), inside)

    assert len(inside.asked) == 1


async def test_a_fault_before_any_answer_passes_as_it_is() -> None:
    refused = ProviderCredentialsInvalid("refused")

    with pytest.raises(ProviderCredentialsInvalid) as raised:
        await rescue()(call(targets=CHAIN), Answers(refused))

    assert raised.value is refused
    assert len(refused.attempts) == 1


async def test_the_time_to_the_first_token_of_a_unary_call_is_known_though_all_of_it_was_read() -> None:
    clock = FakeClock()

    class Slow(Answers):
        async def __call__(self, call: Call) -> ResponseStream:
            clock.advance(2)
            return await super().__call__(call)

        async def _events(self, call: Call, script: tuple[Event | GatewayError, ...]) -> AsyncIterator[Event]:
            clock.advance(5)
            async for event in super()._events(call, script):
                yield event

    reply = await rescue(clock=clock)(call(), Slow((PIECE, *WHOLE[1:])))

    assert reply.metadata.time_to_first_token == 2
    assert (await reply.result()).finished == END
