from __future__ import annotations

import pytest

from aimanager_server.core.content import (
    Attachment,
    Effort,
    Message,
    Part,
    Reasoning,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    ToolCall,
    ToolResult,
)
from aimanager_server.core.errors import ProviderRejectedRequest
from aimanager_server.core.response import FinishReason
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.mock.answers import state_of
from tests.support.mock_provider import answer, said, turn


@pytest.mark.parametrize("reason", list(FinishReason))
async def test_it_finishes_for_any_reason(reason: FinishReason) -> None:
    completion = await answer(f"[[reply: x]] [[finish: {reason}]]")

    assert (completion.finished.reason, completion.finished.provider_reason) == (reason, reason.value)


async def test_usage_can_be_dictated() -> None:
    completion = await answer("[[usage: 10/20 cache_read=4 cache_write=2 reasoning=5]]")

    assert completion.finished.usage == Usage(10, 20, 4, 2, 5, UsageSource.REPORTED)


async def test_everything_that_was_sent_is_counted() -> None:
    completion = await answer(
        turn("one two", Attachment("image/png", data=b"x")),
        Message(Role.ASSISTANT, (Reasoning("three"), ToolCall("t", "f", '{"a": 1}'))),
        turn(ToolResult("t", "f", "four five", (Attachment("image/png", data=b"x"),))),
        system_instruction="Be brief.",
    )

    assert completion.finished.usage.input_tokens == 2 + 2 + 100 + 1 + 2 + 2 + 100


@pytest.mark.parametrize(
    ("limit", "parts"),
    [
        (1, (Reasoning("a ", provider_state=state_of("a ")),)),
        (2, (Reasoning("a b", provider_state=state_of("a b")),)),
        (4, (Reasoning("a b", provider_state=state_of("a b")), Text("c d"))),
        (6, (Reasoning("a b", provider_state=state_of("a b")), Text("c d"), ToolCall("call_1_2", "f", '{"key": '))),
    ],
)
async def test_the_token_limit_is_honoured(limit: int, parts: tuple[Part, ...]) -> None:
    completion = await answer(
        '[[reasoning: a b]] [[reply: c d]] [[tool: f {"key": 123456789}]]',
        sampling=Sampling(max_output_tokens=limit),
    )

    assert completion.message.parts == parts
    assert completion.finished.reason is FinishReason.MAX_TOKENS
    assert completion.finished.usage.output_tokens == limit


async def test_an_answer_that_just_fits_is_whole() -> None:
    completion = await answer("[[reply: a b]]", sampling=Sampling(max_output_tokens=2))

    assert completion.finished.reason is FinishReason.STOP


async def test_stop_sequences_end_the_answer() -> None:
    completion = await answer(
        "[[reply: one]] [[reply: two, three, four]] [[reply: five]]",
        sampling=Sampling(stop_sequences=("", "four", "three")),
    )

    assert completion.message.parts == (Text("one"), Text("two, "))
    assert (completion.finished.reason, completion.finished.provider_reason) == (FinishReason.STOP, "stop_sequence")


async def test_a_stop_sequence_nobody_says_changes_nothing() -> None:
    completion = await answer("[[reply: one]]", sampling=Sampling(stop_sequences=("zzz",)))

    assert completion.finished.provider_reason == "stop"


@pytest.mark.parametrize(
    ("model", "asked", "thinks"),
    [
        ("mock-large", ReasoningOptions(), False),
        ("mock-large", ReasoningOptions(Effort.NONE, include=True), False),
        ("mock-large", ReasoningOptions(Effort.LOW), True),
        ("mock-large", ReasoningOptions(include=True), True),
        ("mock-large", ReasoningOptions(budget_tokens=2000), True),
        ("mock-thinker", ReasoningOptions(), True),
        ("mock-thinker", ReasoningOptions(Effort.NONE), False),
    ],
)
async def test_it_thinks_where_it_is_asked_to(model: str, asked: ReasoningOptions, thinks: bool) -> None:
    completion = await answer("Hi", model=model, reasoning=asked)

    thoughts = [part for part in completion.message.parts if isinstance(part, Reasoning)]
    assert bool(thoughts) is thinks
    assert all(part.provider_state == state_of(part.text) for part in thoughts)
    assert (completion.finished.usage.reasoning_tokens > 0) is thinks


async def test_reasoning_that_comes_back_untouched_is_accepted() -> None:
    first = await answer("Hi", model="mock-thinker")

    assert await said("Hi", first.message, "And now?", model="mock-thinker")


@pytest.mark.parametrize(
    ("part", "author"),
    [
        (Reasoning("I think"), "mock"),
        (Reasoning("I think", provider_state=b"mock:other"), "mock"),
        (Reasoning("I thought", provider_state=state_of("I think")), "mock"),
        (Reasoning("I thought", provider_state=state_of("I think")), ""),
    ],
)
async def test_reasoning_that_was_changed_is_refused(part: Reasoning, author: str) -> None:
    with pytest.raises(ProviderRejectedRequest, match="message 1"):
        await answer("Hi", Message(Role.ASSISTANT, (part, Text("Hello")), author), "And now?")


async def test_reasoning_of_others_is_let_through() -> None:
    foreign = Message(Role.ASSISTANT, (Reasoning("hm", provider_state=b"EqQB"), Text("Hello")), "claude")

    assert await said("Hi", foreign, "And now?")
