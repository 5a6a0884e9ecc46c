"""What is left out of a prompt that is too long for a model or that it cannot read, or where the caller asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability
from aimanager_server.core.content import (
    Attachment,
    CacheHint,
    Message,
    Part,
    PromptOptimization,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.request import Attempt, Call, Target
from aimanager_server.core.response import ResponseMetadata, SettingWarning
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.shorten_prompt import MAX_COMPACTED_LENGTH, ShortenPrompt
from tests.support.calls import make_call

LONG = "x" * 4_000
"""About a thousand tokens."""


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def answer(*parts: Part | str) -> Message:
    return Message(Role.ASSISTANT, user(*parts).parts)


class RunsInPlace:
    """Runs what the pool of threads would run, and counts it."""

    def __init__(self) -> None:
        self.runs = 0
        self.pauses = 0

    async def run(self, caller: str, work: Callable[[], Any]) -> Any:
        self.runs += 1
        return work()

    def pause(self, seconds: float) -> None:
        self.pauses += 1


async def shortened(
    call: Call,
    window: int | None = None,
    target: tuple[str, str] = ("mock", "mock-large"),
    pool: RunsInPlace | None = None,
) -> tuple[Attempt[Any], list[SettingWarning]]:
    """Return the attempt that a provider receives, and the warnings of its response."""
    pool = pool or RunsInPlace()
    received: list[Attempt[Any]] = []

    async def proceed(attempt: Attempt[Any]) -> ResponseStream:
        received.append(attempt)
        return ResponseStream.of(ResponseMetadata("1", "m", *target), [])

    layer = ShortenPrompt(Catalog.load().find, pool.run, pool.pause)
    stream = await layer(Attempt.of(call, Target(*target, context_window=window), 0.0), proceed)
    return received[0], list(stream.metadata.warnings)


async def sent(
    turns: list[list[Message]],
    new: Message,
    window: int | None,
    pinned: tuple[int, ...] = (),
    target: tuple[str, str] = ("mock", "mock-large"),
    omitted: int = 0,
) -> tuple[list[Message], tuple[str, ...]]:
    """Return the messages of a conversation that a model with this context window receives, and the warnings."""
    starts: list[int] = []
    messages: list[Message] = []
    for turn in turns:
        starts.append(len(messages))
        messages += turn
    conversation = ConversationTurn(
        "conv_1", len(turns), len(messages), tuple(starts), frozenset(starts[number] for number in pinned), omitted
    )
    attempt, warnings = await shortened(
        replace(make_call(), messages=(*messages, new), turn=conversation), window, target
    )
    return list(attempt.messages), tuple(warning.message for warning in warnings)


async def optimized(
    messages: Sequence[Message], *optimizations: PromptOptimization, window: int | None = None, system: str = ""
) -> tuple[Attempt[Any], list[SettingWarning]]:
    """Return what a provider receives of a call that names these optimizations."""
    call = replace(
        make_call(system_instruction=system, optimizations=frozenset(optimizations)), messages=tuple(messages)
    )
    return await shortened(call, window)


TURNS = [[user(f"{number} {LONG}"), answer("ok")] for number in range(4)]
NEW = user("And now?")


async def test_a_history_that_fits_is_sent_as_it_is() -> None:
    for window in (100_000, None):
        assert await sent(TURNS, NEW, window) == ([*(one for turn in TURNS for one in turn), NEW], ())


async def test_the_oldest_turns_are_left_out_as_a_whole() -> None:
    received, warnings = await sent(TURNS, NEW, 3_000)

    assert received == [*TURNS[2], *TURNS[3], NEW]
    assert warnings == (
        "2 of the oldest turns (4 messages, about 2016 tokens) were left out: "
        "mock-large has a context window of 3000 tokens.",
    )


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


WHITESPACE, HISTORY = PromptOptimization
PLAIN = [one for turn in TURNS for one in turn]


async def test_messages_of_a_call_stay_as_they_are_unless_it_asks() -> None:
    loose = user("One.  \n\n\n\nTwo. \nThree.")

    attempt, warnings = await optimized([*PLAIN, loose], window=1_000)

    assert attempt.messages == (*PLAIN, loose)
    assert warnings == []


async def test_history_leaves_out_the_oldest_turns_that_do_not_fit() -> None:
    attempt, warnings = await optimized([*PLAIN, NEW], HISTORY, window=3_000)
    fits, none = await optimized([*PLAIN, NEW], HISTORY, window=100_000)
    only, nothing = await optimized([user(LONG * 5)], HISTORY, window=1_000)

    assert attempt.messages == (*TURNS[2], *TURNS[3], NEW)
    assert warnings == [
        SettingWarning(
            "optimizations",
            "2 of the oldest turns (4 messages, about 2016 tokens) were left out: "
            "mock-large has a context window of 3000 tokens.",
        )
    ]
    assert (fits.messages, none) == ((*PLAIN, NEW), [])
    assert (only.messages, nothing) == ((user(LONG * 5),), [])


async def test_history_of_a_model_whose_context_window_is_unknown_is_sent_with_a_warning() -> None:
    attempt, (warning,) = await optimized([*PLAIN, NEW], HISTORY)
    _, none = await optimized([NEW], HISTORY)

    assert attempt.messages == (*PLAIN, NEW)
    assert warning.message == "No turns were left out: the context window of mock-large is not known."
    assert none == []


async def test_history_never_separates_a_tool_call_from_its_result() -> None:
    call, result = ToolCall("c1", "look", "{}"), ToolResult("c1", "look", "seen")
    first, second = [user(f"0 {LONG}"), answer("ok")], [user("1"), user(f"still 1 {LONG}"), answer(call), user(result)]

    pending, _ = await optimized([*first, *second], HISTORY, window=1_000)
    answered, _ = await optimized([*first, *second, answer("It is red."), NEW], HISTORY, window=1_000)

    assert list(pending.messages) == second
    assert answered.messages == (NEW,)


async def test_whitespace_is_left_out_of_texts_and_of_the_system_instruction_only() -> None:
    loose, tight = "One. \n\n\n\nTwo.", "One.\n\nTwo."
    result, file = ToolResult("c1", "look", loose), Attachment("text/plain", "a.txt", loose.encode())
    signed = Message(Role.ASSISTANT, (Text(loose, b"signature"),))

    attempt, warnings = await optimized([user(loose, file, result), answer(loose), signed], WHITESPACE, system=loose)

    assert attempt.system_instruction == tight
    assert attempt.messages == (user(tight, file, result), answer(tight), signed)
    assert warnings == [SettingWarning("optimizations", "9 characters of whitespace (about 2 tokens) were left out.")]


async def test_a_text_keeps_its_cache_hint() -> None:
    message = Message(Role.USER, (Text("One. \n\n\nTwo.", cache_hint=CacheHint.LONG),))

    attempt, _ = await optimized([message], WHITESPACE)

    assert attempt.messages == (Message(Role.USER, (Text("One.\n\nTwo.", cache_hint=CacheHint.LONG),)),)


async def test_whitespace_is_left_out_before_turns_are() -> None:
    loose = user("x" * 3_000 + "\n" * 9_000)

    attempt, warnings = await optimized([loose, answer("ok"), NEW], WHITESPACE, HISTORY, window=2_000)

    assert [len(message.parts) for message in attempt.messages] == [1, 1, 1]
    assert len(warnings) == 1


async def test_whitespace_of_a_long_prompt_is_left_out_in_a_thread_with_pauses_and_of_a_huge_one_not_at_all() -> None:
    call = replace(make_call(optimizations=frozenset({WHITESPACE})), messages=(user("word \n" * 50_000),))
    pool = RunsInPlace()

    attempt, _ = await shortened(call, pool=pool)
    huge = user("x \n" * (MAX_COMPACTED_LENGTH // 3 + 1))
    unchanged, (warning,) = await shortened(replace(call, messages=(huge,)), pool=pool)

    assert attempt.messages == (user("word\n" * 50_000),)
    assert (pool.runs, pool.pauses) == (1, 6)
    assert unchanged.messages == (huge,)
    assert warning.message == "No whitespace was left out: the prompt has more than 8388608 characters."
