"""What is left out of a conversation that is too long for a model, or that it cannot read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability
from aimanager_server.core.content import Attachment, Message, Part, Role, Text, ToolCall, ToolResult
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.request import Attempt, Target
from aimanager_server.core.response import ResponseMetadata
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.context_window import FitContextWindow
from tests.support.calls import make_call

LONG = "x" * 4_000
"""About a thousand tokens."""


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def answer(*parts: Part | str) -> Message:
    return Message(Role.ASSISTANT, user(*parts).parts)


async def sent(
    turns: list[list[Message]],
    new: Message,
    window: int | None,
    pinned: tuple[int, ...] = (),
    target: tuple[str, str] = ("mock", "mock-large"),
    omitted: int = 0,
) -> tuple[list[Message], tuple[str, ...]]:
    """Return the messages that a model with this context window receives, and the warnings."""
    starts: list[int] = []
    messages: list[Message] = []
    for turn in turns:
        starts.append(len(messages))
        messages += turn
    conversation = ConversationTurn(
        "conv_1", len(turns), len(messages), tuple(starts), frozenset(starts[number] for number in pinned), omitted
    )
    call = replace(make_call(), messages=(*messages, new), turn=conversation)
    received: list[Message] = []

    async def proceed(attempt: Attempt[Any]) -> ResponseStream:
        received.extend(attempt.messages)
        return ResponseStream.of(ResponseMetadata("1", "m", *target), [])

    layer = FitContextWindow(Catalog.load().find)
    stream = await layer(Attempt.of(call, Target(*target, context_window=window), 0.0), proceed)
    return received, tuple(warning.message for warning in stream.metadata.warnings)


TURNS = [[user(f"{number} {LONG}"), answer("ok")] for number in range(4)]
NEW = user("And now?")


async def test_a_history_that_fits_is_sent_as_it_is() -> None:
    for window in (100_000, None):
        assert await sent(TURNS, NEW, window) == ([*(one for turn in TURNS for one in turn), NEW], ())


async def test_the_oldest_turns_are_left_out_as_a_whole() -> None:
    received, warnings = await sent(TURNS, NEW, 3_000)

    assert received == [*TURNS[2], *TURNS[3], NEW]
    assert warnings == ("2 of the oldest turns were left out: mock-large has a context window of 3000 tokens.",)


async def test_turns_that_were_not_even_read_are_reported() -> None:
    _, warnings = await sent(TURNS, NEW, None, omitted=7)

    assert [warning.partition(":")[0] for warning in warnings] == ["7 of the oldest turns were left out"]


async def test_pinned_turns_stay() -> None:
    received, _ = await sent(TURNS, NEW, 3_000, pinned=(0,))

    assert received == [*TURNS[0], *TURNS[3], NEW]


async def test_new_messages_are_never_left_out() -> None:
    received, _ = await sent(TURNS, user(LONG * 5), 1_000)

    assert received == [user(LONG * 5)]


async def test_a_tool_call_stays_with_its_result() -> None:
    call, result = ToolCall("c1", "look", "{}"), ToolResult("c1", "look", "seen")
    turns = [[user(f"0 {LONG}"), answer(call)], [user(result), answer("It is red.")], [user("2"), answer("ok")]]

    answered, _ = await sent(turns, NEW, 1_000)
    pending, _ = await sent([[user(f"0 {LONG}"), answer("ok")], [user(f"1 {LONG}"), answer(call)]], user(result), 1_000)

    assert answered == [*turns[2], NEW]
    assert pending == [user(f"1 {LONG}"), answer(call), user(result)]


async def test_attachments_that_the_model_cannot_read_are_left_out() -> None:
    image = Attachment("image/png", "a.png", b"\x89PNG")
    turns = [[user("Look", image), answer("I see.")]]
    models = Catalog.load().models()
    blind = next(one for one in models if one.supports(Capability.IMAGE_INPUT) is False and one.embedding is None)

    received, warnings = await sent(turns, NEW, None)
    replaced, warned = await sent(turns, NEW, None, target=(blind.provider, blind.id))

    assert (received[0], warnings) == (turns[0][0], ())
    assert replaced[0] == user("Look", "[image a.png was left out]")
    assert warned == (f"Attachments of earlier turns were left out: {blind.id} cannot read them.",)
