from collections.abc import AsyncIterator
from typing import Any

import pytest

from aimanager_server.call import Call, Spent, Target
from aimanager_server.content import Text, ToolCall
from aimanager_server.errors import ContentBlocked, ProviderAuth, ProviderUnreachable, StreamInterrupted
from aimanager_server.fault import Fault
from aimanager_server.metrics import Metrics
from aimanager_server.pipeline.decide import Policy
from aimanager_server.pipeline.rescue import Rescue
from aimanager_server.reply import Attempt, Event, Head, PartCompleted, Reply, Restarted, TextDelta, Thinking
from aimanager_server.usage import Usage, UsageSource
from questions import END, TARGET, WHOLE, FakeClock, call

SECOND = Target("claude", "claude-opus-5-5")
THIRD = Target("openai", "gpt-x")
CHAIN = (TARGET, SECOND, THIRD)
PIECE = TextDelta(0, "Half an ans")
RAN = PartCompleted(0, ToolCall("1", "wire_money", "{}"))


def cut(cause: Fault | None = None) -> StreamInterrupted:
    broken = StreamInterrupted("cut")
    broken.usage = Usage(5, 3, source=UsageSource.ESTIMATED)
    broken.__cause__ = cause or ProviderUnreachable("reset")
    return broken


class Answers:
    """What lies inside: the first target of a call answers, each time with the next script. Knows who was asked."""

    def __init__(self, *scripts: tuple[Event | Fault, ...] | Fault) -> None:
        self._scripts = list(scripts)
        self.asked: list[tuple[str, ...]] = []
        self.closed = 0

    async def __call__(self, call: Call) -> Reply:
        self.asked.append(tuple(target.provider for target in call.targets))
        script = self._scripts.pop(0)
        if isinstance(script, Fault):
            script.attempts = (Attempt(call.target.provider, call.target.model, script.reason, 0.1),)
            raise script
        target = call.target
        tries = (Attempt(target.provider, target.model, "", 0.1),)
        head = Head(call.id, call.requested_model, target.provider, target.model, tries)
        return Reply(head, self._events(call, script), self._close, lambda: None)

    async def _events(self, call: Call, script: tuple[Event | Fault, ...]) -> AsyncIterator[Event]:
        for event in script:
            if isinstance(event, StreamInterrupted) and event.usage:
                call.ledger.entries.append(Spent(call.target.provider, call.target.model, event.usage))
            if isinstance(event, Fault):
                raise event
            yield event

    async def _close(self) -> None:
        self.closed += 1


def rescue(metrics: Metrics | None = None, clock: FakeClock | None = None) -> Rescue:
    return Rescue(Policy(), metrics or Metrics(lambda provider, model: True), clock or FakeClock())


def streamed(*targets: Target, restarts: bool = True) -> Call:
    facts: dict[str, Any] = {"streaming": True, "restarts": restarts}
    return call(targets=targets or CHAIN, **facts)


async def events_of(reply: Reply) -> list[Event]:
    return [event async for event in reply]


async def test_a_unary_answer_that_breaks_off_is_given_whole_by_the_next_target() -> None:
    inside = Answers((PIECE, cut()), WHOLE)

    completion = await (await rescue()(call(targets=CHAIN), inside)).completion()

    assert completion.message.parts == (Text("Hello."),)
    assert (completion.head.provider, completion.head.model) == (SECOND.provider, SECOND.model)
    assert [(one.provider, one.reason) for one in completion.head.attempts] == [
        ("mock", "STREAM_INTERRUPTED"),
        ("claude", ""),
    ]
    assert completion.head.attempts[0].usage == Usage(5, 3, source=UsageSource.ESTIMATED)
    assert inside.asked == [("mock", "claude", "openai"), ("claude", "openai")]


async def test_a_unary_answer_without_another_target_begins_once_more_at_the_same() -> None:
    inside = Answers((PIECE, cut()), WHOLE)

    completion = await (await rescue()(call(), inside)).completion()

    assert completion.message.parts == (Text("Hello."),)
    assert inside.asked == [("mock",), ("mock",)]


async def test_a_second_break_at_the_only_target_is_told_with_all_that_was_paid() -> None:
    first = cut()
    inside = Answers((PIECE, first), (PIECE, cut()))

    with pytest.raises(StreamInterrupted) as raised:
        await rescue()(call(), inside)

    assert raised.value is first
    assert [one.reason for one in first.attempts] == ["STREAM_INTERRUPTED", "STREAM_INTERRUPTED"]
    assert first.usage == Usage(10, 6, source=UsageSource.ESTIMATED)


async def test_a_policy_that_breaks_an_answer_off_is_not_got_round_elsewhere() -> None:
    inside = Answers((PIECE, cut(ContentBlocked("no"))), WHOLE)

    with pytest.raises(StreamInterrupted):
        await rescue()(call(targets=CHAIN), inside)

    assert len(inside.asked) == 1


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
    assert [one.reason for one in raised.value.attempts] == ["STREAM_INTERRUPTED"]


async def test_a_stream_restarts_where_that_was_asked_for() -> None:
    reply = await rescue()(streamed(), Answers((PIECE, cut()), WHOLE))

    first, restarted, *rest = await events_of(reply)

    assert first == PIECE
    assert isinstance(restarted, Restarted)
    assert restarted.head.provider == SECOND.provider
    assert [one.reason for one in restarted.head.attempts] == ["STREAM_INTERRUPTED", ""]
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
    reply = await rescue()(streamed(), Answers((PIECE, cut()), ProviderAuth("refused")))

    with pytest.raises(StreamInterrupted) as raised:
        await events_of(reply)

    reasons = [one.reason for one in raised.value.attempts]
    assert reasons == ["STREAM_INTERRUPTED", "PROVIDER_CREDENTIALS_INVALID"]


async def test_while_a_model_only_thinks_a_restart_is_not_seen() -> None:
    inside = Answers((Thinking(), Thinking(), cut()), WHOLE)

    events = await events_of(await rescue()(streamed(restarts=False), inside))

    assert tuple(events) == WHOLE
    assert len(inside.asked) == 2


async def test_thinking_is_not_passed_on() -> None:
    events = await events_of(await rescue()(streamed(), Answers((Thinking(), PIECE, Thinking(), *WHOLE[1:]))))

    assert tuple(events) == (PIECE, *WHOLE[1:])


async def test_a_fault_before_any_answer_passes_as_it_is() -> None:
    refused = ProviderAuth("refused")

    with pytest.raises(ProviderAuth) as raised:
        await rescue()(call(targets=CHAIN), Answers(refused))

    assert raised.value is refused
    assert len(refused.attempts) == 1


async def test_the_time_to_the_first_token_of_a_unary_call_is_known_though_all_of_it_was_read() -> None:
    clock = FakeClock()

    class Slow(Answers):
        async def __call__(self, call: Call) -> Reply:
            clock.advance(2)
            return await super().__call__(call)

        async def _events(self, call: Call, script: tuple[Event | Fault, ...]) -> AsyncIterator[Event]:
            clock.advance(5)
            async for event in super()._events(call, script):
                yield event

    reply = await rescue(clock=clock)(call(), Slow((PIECE, *WHOLE[1:])))

    assert reply.head.time_to_first_token == 2
    assert (await reply.completion()).finished == END


async def test_closing_a_stream_reaches_the_answer_under_way() -> None:
    inside = Answers((PIECE, cut()), WHOLE)
    reply = await rescue()(streamed(), inside)
    events = aiter(reply)
    while not isinstance(await anext(events), Restarted):
        pass

    await reply.aclose()

    assert inside.closed == 1
