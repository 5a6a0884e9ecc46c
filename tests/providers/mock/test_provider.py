"""Default and scripted responses of the mock provider."""

from __future__ import annotations

from aimanager_server.core.content import Attachment, Message, Reasoning, Role, Text, ToolCall, ToolResult
from aimanager_server.core.response import (
    Finished,
    FinishReason,
    PartCompleted,
    ResponseMetadata,
    SettingWarning,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.mock.prompt import provider_state_for
from tests.support.mock_provider import WEATHER, generate, reply_text, stream_events, user_message


async def test_the_default_response_echoes_the_prompt() -> None:
    assert await reply_text("What is the capital of Italy?") == (
        "This is mock-large, a mock model that needs no API key and always gives the same response. "
        'You said: "What is the capital of Italy?". A real model would answer here.'
    )


async def test_responses_are_deterministic() -> None:
    assert await stream_events("Hi [[reasoning: hm]] " + WEATHER) == await stream_events(
        "Hi [[reasoning: hm]] " + WEATHER
    )


async def test_streamed_and_unary_responses_are_equal() -> None:
    script = f"[[reasoning: I think]] [[reply: Let me see.]] {WEATHER} [[tool: get_time]]"

    whole = await generate(script)
    events = await stream_events(script)

    assert tuple(event.part for event in events if isinstance(event, PartCompleted)) == whole.message.parts
    assert events[-1] == whole.finished


async def test_a_text_is_streamed_word_by_word() -> None:
    events = await stream_events("[[reply: Hello there, you]]")

    assert events == [
        TextDelta(0, "Hello "),
        TextDelta(0, "there, "),
        TextDelta(0, "you"),
        PartCompleted(0, Text("Hello there, you")),
        Finished(FinishReason.STOP, "stop", Usage(4, 3, source=UsageSource.REPORTED)),
    ]


async def test_the_metadata_names_provider_and_model() -> None:
    warnings = (SettingWarning("sampling.seed", "left out"),)

    result = await generate("Hi", warnings=warnings)

    assert result.metadata == ResponseMetadata("call-1", "mock/latest", "mock", "mock-large", warnings=warnings)


async def test_parts_are_in_the_order_of_the_script() -> None:
    result = await generate(f"[[reply: a]] {WEATHER} [[reasoning: b]] [[reply: c]] [[tool: get_time]] [[reply:]]")

    assert result.message.parts == (
        Text("a"),
        ToolCall("call_1_1", "get_weather", '{"city":"Rome"}'),
        Reasoning("b", provider_state=provider_state_for("b")),
        Text("c"),
        ToolCall("call_1_4", "get_time", "{}"),
    )
    assert result.finished.reason is FinishReason.TOOL_CALLS


async def test_tool_call_arguments_are_streamed_in_fragments() -> None:
    deltas = [event for event in await stream_events(WEATHER) if isinstance(event, ToolCallDelta)]

    assert deltas == [
        ToolCallDelta(0, "call_1_0", "get_weather", ""),
        ToolCallDelta(0, "", "", '{"city":'),
        ToolCallDelta(0, "", "", '"Rome"}'),
    ]


async def test_arguments_may_contain_brackets_and_invalid_json() -> None:
    result = await generate('[[tool: f {"a":[[1],[2]]}]] [[tool: g not json]]')

    assert [part.arguments_json for part in result.message.parts if isinstance(part, ToolCall)] == [
        '{"a":[[1],[2]]}',
        "not json",
    ]


async def test_an_empty_reply_is_an_empty_response() -> None:
    events = await stream_events("[[reply:]]")

    assert [type(event) for event in events] == [Finished]


async def test_the_words_directive_generates_text() -> None:
    result = await generate("[[words: 3]]")

    assert result.message.parts == (Text("word1 word2 word3"),)
    assert result.finished.usage.output_tokens == 3


async def test_tool_results_are_quoted() -> None:
    messages = (
        user_message(f"Weather? {WEATHER}"),
        Message(Role.ASSISTANT, (ToolCall("call_1_0", "get_weather", "{}"), ToolCall("x", "f", "{}")), "mock"),
        user_message(
            ToolResult("call_1_0", "get_weather", "18 °C"), ToolResult("x", "", "no such city", is_error=True)
        ),
    )

    text = await reply_text(*messages)

    assert text == 'Tool get_weather returned: "18 °C". Tool x failed: "no such city".'


async def test_later_rounds_of_a_tool_loop_can_be_scripted() -> None:
    prompt = user_message(f"Plan my day. {WEATHER} [[then]] [[tool: get_time]] [[then]] [[reply: Go out.]]")
    tool_call = Message(Role.ASSISTANT, (ToolCall("1", "get_weather", "{}"),), "mock")
    result = user_message(ToolResult("1", "get_weather", "sunny"))

    first = await generate(prompt)
    second = await generate(prompt, tool_call, result)
    third = await generate(prompt, tool_call, result, tool_call, result)
    fourth = await reply_text(prompt, tool_call, result, tool_call, result, tool_call, result)

    names = [part.name for result in (first, second) for part in result.message.parts if isinstance(part, ToolCall)]
    assert names == ["get_weather", "get_time"]
    assert third.message.parts == (Text("Go out."),)
    assert fourth == 'Tool get_weather returned: "sunny".'


async def test_attachments_are_named_and_long_prompts_truncated() -> None:
    files = (Attachment("image/png", "chart.png", data=b"x"), Attachment("application/pdf", uri="https://e.example/a"))

    text = await reply_text(user_message("long " * 100, *files))

    assert "You attached chart.png, application/pdf." in text
    assert '…".' in text
    assert len(text) < 500


async def test_a_prompt_without_text_gets_a_response() -> None:
    assert "You said nothing." in await reply_text(user_message(Attachment("image/png", data=b"x")))
    assert "You said nothing." in await reply_text()
