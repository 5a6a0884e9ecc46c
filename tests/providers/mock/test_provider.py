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
from aimanager_server.providers.mock.answers import state_of
from tests.support.mock_provider import WEATHER, answer, said, streamed, turn


async def test_a_question_is_said_back() -> None:
    assert await said("What is the capital of Italy?") == (
        "This is mock-large, a stand-in that needs no key and always answers the same. "
        'You said: "What is the capital of Italy?". A real model would take it from here.'
    )


async def test_the_same_question_is_always_answered_the_same() -> None:
    assert await streamed("Hi [[reasoning: hm]] " + WEATHER) == await streamed("Hi [[reasoning: hm]] " + WEATHER)


async def test_what_a_stream_says_a_whole_answer_says() -> None:
    script = f"[[reasoning: I think]] [[reply: Let me see.]] {WEATHER} [[tool: get_time]]"

    whole = await answer(script)
    events = await streamed(script)

    assert tuple(event.part for event in events if isinstance(event, PartCompleted)) == whole.message.parts
    assert events[-1] == whole.finished


async def test_an_answer_streams_in_several_pieces() -> None:
    events = await streamed("[[reply: Hello there, you]]")

    assert events == [
        TextDelta(0, "Hello "),
        TextDelta(0, "there, "),
        TextDelta(0, "you"),
        PartCompleted(0, Text("Hello there, you")),
        Finished(FinishReason.STOP, "stop", Usage(4, 3, source=UsageSource.REPORTED)),
    ]


async def test_the_head_says_who_answers() -> None:
    warned = (SettingWarning("sampling.seed", "left out"),)

    completion = await answer("Hi", warnings=warned)

    assert completion.metadata == ResponseMetadata("call-1", "mock/latest", "mock", "mock-large", warnings=warned)


async def test_parts_come_in_the_order_written() -> None:
    completion = await answer(f"[[reply: a]] {WEATHER} [[reasoning: b]] [[reply: c]] [[tool: get_time]] [[reply:]]")

    assert completion.message.parts == (
        Text("a"),
        ToolCall("call_1_1", "get_weather", '{"city":"Rome"}'),
        Reasoning("b", provider_state=state_of("b")),
        Text("c"),
        ToolCall("call_1_4", "get_time", "{}"),
    )
    assert completion.finished.reason is FinishReason.TOOL_CALLS


async def test_a_tool_call_streams_its_arguments_in_pieces() -> None:
    deltas = [event for event in await streamed(WEATHER) if isinstance(event, ToolCallDelta)]

    assert deltas == [
        ToolCallDelta(0, "call_1_0", "get_weather", ""),
        ToolCallDelta(0, "", "", '{"city":'),
        ToolCallDelta(0, "", "", '"Rome"}'),
    ]


async def test_arguments_may_be_no_json_and_hold_brackets() -> None:
    completion = await answer('[[tool: f {"a":[[1],[2]]}]] [[tool: g not json]]')

    assert [part.arguments_json for part in completion.message.parts if isinstance(part, ToolCall)] == [
        '{"a":[[1],[2]]}',
        "not json",
    ]


async def test_an_empty_reply_is_an_empty_answer() -> None:
    events = await streamed("[[reply:]]")

    assert [type(event) for event in events] == [Finished]


async def test_so_many_words_can_be_asked_for() -> None:
    completion = await answer("[[words: 3]]")

    assert completion.message.parts == (Text("word1 word2 word3"),)
    assert completion.finished.usage.output_tokens == 3


async def test_a_tool_result_is_quoted() -> None:
    messages = (
        turn(f"Weather? {WEATHER}"),
        Message(Role.ASSISTANT, (ToolCall("call_1_0", "get_weather", "{}"), ToolCall("x", "f", "{}")), "mock"),
        turn(ToolResult("call_1_0", "get_weather", "18 °C"), ToolResult("x", "", "no such city", is_error=True)),
    )

    text = await said(*messages)

    assert text == 'The tool get_weather answered: "18 °C". The tool x failed: "no such city".'


async def test_the_next_round_of_a_tool_loop_can_be_scripted() -> None:
    asked = turn(f"Plan my day. {WEATHER} [[then]] [[tool: get_time]] [[then]] [[reply: Go out.]]")
    called = Message(Role.ASSISTANT, (ToolCall("1", "get_weather", "{}"),), "mock")
    result = turn(ToolResult("1", "get_weather", "sunny"))

    first = await answer(asked)
    second = await answer(asked, called, result)
    third = await answer(asked, called, result, called, result)
    fourth = await said(asked, called, result, called, result, called, result)

    names = [part.name for reply in (first, second) for part in reply.message.parts if isinstance(part, ToolCall)]
    assert names == ["get_weather", "get_time"]
    assert third.message.parts == (Text("Go out."),)
    assert fourth == 'The tool get_weather answered: "sunny".'


async def test_attachments_are_named_and_long_questions_cut() -> None:
    files = (Attachment("image/png", "chart.png", data=b"x"), Attachment("application/pdf", uri="https://e.example/a"))

    text = await said(turn("long " * 100, *files))

    assert "You attached chart.png, application/pdf." in text
    assert '…".' in text
    assert len(text) < 500


async def test_a_question_without_words_is_answered() -> None:
    assert "You said nothing." in await said(turn(Attachment("image/png", data=b"x")))
    assert "You said nothing." in await said()
