"""Token limits, stop sequences, usage and reasoning of the mock provider."""

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
from aimanager_server.providers.mock.prompt import provider_state_for
from tests.support.mock_provider import generate, reply_text, user_message


def reasoning(text: str) -> Reasoning:
    return Reasoning(text, provider_state=provider_state_for(text))


@pytest.mark.parametrize("reason", list(FinishReason))
async def test_every_finish_reason_can_be_scripted(reason: FinishReason) -> None:
    result = await generate(f"[[reply: x]] [[finish: {reason}]]")

    assert (result.finished.reason, result.finished.provider_reason) == (reason, reason.value)


async def test_usage_can_be_scripted() -> None:
    result = await generate("[[usage: 10/20 cache_read=4 cache_write=2 reasoning=5]]")

    assert result.finished.usage == Usage(10, 20, 4, 2, 5, UsageSource.REPORTED)


async def test_all_input_parts_are_counted() -> None:
    result = await generate(
        user_message("one two", Attachment("image/png", data=b"x")),
        Message(Role.ASSISTANT, (Reasoning("three"), ToolCall("t", "f", '{"a": 1}'))),
        user_message(ToolResult("t", "f", "four five", (Attachment("image/png", data=b"x"),))),
        system_instruction="Be brief.",
    )

    assert result.finished.usage.input_tokens == 2 + 2 + 100 + 1 + 2 + 2 + 100


@pytest.mark.parametrize(
    ("limit", "parts"),
    [
        (1, (reasoning("a "),)),
        (2, (reasoning("a b"),)),
        (4, (reasoning("a b"), Text("c d"))),
        (6, (reasoning("a b"), Text("c d"), ToolCall("call_1_2", "f", '{"key": '))),
    ],
)
async def test_max_output_tokens_truncates_the_response(limit: int, parts: tuple[Part, ...]) -> None:
    result = await generate(
        '[[reasoning: a b]] [[reply: c d]] [[tool: f {"key": 123456789}]]',
        sampling=Sampling(max_output_tokens=limit),
    )

    assert result.message.parts == parts
    assert result.finished.reason is FinishReason.MAX_TOKENS
    assert result.finished.usage.output_tokens == limit


async def test_a_response_of_exactly_the_limit_is_complete() -> None:
    result = await generate("[[reply: a b]]", sampling=Sampling(max_output_tokens=2))

    assert result.finished.reason is FinishReason.STOP


async def test_stop_sequences_end_the_response() -> None:
    result = await generate(
        "[[reply: one]] [[reply: two, three, four]] [[reply: five]]",
        sampling=Sampling(stop_sequences=("", "four", "three")),
    )

    assert result.message.parts == (Text("one"), Text("two, "))
    assert (result.finished.reason, result.finished.provider_reason) == (FinishReason.STOP, "stop_sequence")


async def test_an_unmatched_stop_sequence_has_no_effect() -> None:
    result = await generate("[[reply: one]]", sampling=Sampling(stop_sequences=("zzz",)))

    assert result.finished.provider_reason == "stop"


@pytest.mark.parametrize(
    ("model", "options", "reasons"),
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
async def test_reasoning_is_included_on_request(model: str, options: ReasoningOptions, reasons: bool) -> None:
    result = await generate("Hi", model=model, reasoning=options)

    found = [part for part in result.message.parts if isinstance(part, Reasoning)]
    assert bool(found) is reasons
    assert found == [reasoning(part.text) for part in found]
    assert (result.finished.usage.reasoning_tokens > 0) is reasons


async def test_unmodified_reasoning_is_accepted() -> None:
    first = await generate("Hi", model="mock-thinker")

    assert await reply_text("Hi", first.message, "And now?", model="mock-thinker")


@pytest.mark.parametrize(
    ("part", "author"),
    [
        (Reasoning("I think"), "mock"),
        (Reasoning("I think", provider_state=b"mock:other"), "mock"),
        (Reasoning("I thought", provider_state=provider_state_for("I think")), "mock"),
        (Reasoning("I thought", provider_state=provider_state_for("I think")), ""),
    ],
)
async def test_modified_reasoning_is_rejected(part: Reasoning, author: str) -> None:
    with pytest.raises(ProviderRejectedRequest, match=r"messages\[1\]"):
        await generate("Hi", Message(Role.ASSISTANT, (part, Text("Hello")), author), "And now?")


async def test_reasoning_of_other_providers_is_accepted() -> None:
    foreign = Message(Role.ASSISTANT, (Reasoning("hm", provider_state=b"EqQB"), Text("Hello")), "claude")

    assert await reply_text("Hi", foreign, "And now?")
