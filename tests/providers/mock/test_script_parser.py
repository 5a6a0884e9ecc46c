"""The script language of the mock provider."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Message, Role, Text, ToolCall, ToolResult
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.response import FinishReason
from aimanager_server.providers.mock.script_scanner import DIRECTIVES
from tests.support.mock_provider import WEATHER, generate, mock, reply_text, user_message


@pytest.mark.parametrize("text", ["see [[Rome]] and [[1,2],[3,4]]", "[[foo]]", "[[ reply: x]]", "a]]b"])
async def test_other_double_brackets_are_ordinary_text(text: str) -> None:
    assert f'You said: "{text}"' in await reply_text(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[repyl: x]]", "'repyl'"),
        ("[[repyl: x", "'repyl'"),
        ("[[reply: x", "closing ']]' is missing"),
        ("[[reply: x ] y", "closing ']]' is missing"),
        ("[[rate: fast]]", "'fast'"),
        ("[[rate: 0]]", "greater than 0"),
        ("[[rate: -1]]", "'-1'"),
        ("[[latency: nan]]", "'nan'"),
        ("[[cut: 1.5]]", "'1.5'"),
        ("[[cut]]", "''"),
        ("[[stall: 9999999999]]", "999999999"),
        ("[[words: 1000001]]", "at most 1048576 characters for the mock provider, got 10888907"),
        ("[[think: 100001]]", "at most 100000 tokens in total, got 100001"),
        ("[[think]]", "''"),
        ("[[cut: 3 seconds=1]]", "'seconds' is not one of times"),
        ("[[stall: 3 for=1]]", "'for' is not one of seconds, times"),
        ("[[latency: 1 times=x]]", "'x'"),
        ("[[tool:]]", "tool name is missing"),
        ("[[finish: done]]", "'done'"),
        ("[[error: OOPS]]", "PROVIDER_OVERLOADED"),
        ("[[error:]]", "PROVIDER_OVERLOADED"),
        ("[[error: PROVIDER_ERROR retry=2]]", "'retry' is not one of retry_after, times"),
        ("[[usage: 10]]", "''"),
        ("[[usage: 10/20 cached=1]]", "'cached'"),
    ],
)
async def test_a_malformed_directive_is_reported(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await generate("Hi " + text)

    assert message in caught.value.message
    assert caught.value.violations[0].field == "messages"


async def test_the_error_for_an_unknown_directive_lists_all_directives() -> None:
    with pytest.raises(InvalidRequest) as caught:
        await generate("[[nonsense: 1]]")

    assert [example for example in DIRECTIVES.values() if example not in caught.value.message] == []


async def test_the_first_matching_configured_script_applies() -> None:
    provider = mock(
        scripts=[
            {"match": "weather", "answer": f"Let me look. {WEATHER} [[then]] Sunny. [[finish: max_tokens]]"},
            {"match": "", "answer": "Hello."},
            {"match": "never", "answer": "Never."},
        ]
    )
    prompt = user_message("The weather?")
    tool_call = Message(Role.ASSISTANT, (ToolCall("1", "get_weather", "{}"),))

    first = await generate(prompt, provider=provider)
    second = await generate(prompt, tool_call, user_message(ToolResult("1", "get_weather", "x")), provider=provider)

    assert first.message.parts == (Text("Let me look."), ToolCall("call_1_1", "get_weather", '{"city":"Rome"}'))
    assert second.message.parts == (Text("Sunny."),)
    assert second.finished.reason is FinishReason.MAX_TOKENS
    assert await reply_text("never", provider=provider) == "Hello."


async def test_callers_scripts_take_precedence_over_prompts_and_configuration() -> None:
    provider = mock(scripts=[{"match": "", "answer": "configuration"}])

    texts = [
        await reply_text("Hi", provider=provider),
        await reply_text("Hi [[reply: prompt]]", provider=provider),
        await reply_text("Hi [[reply: prompt]]", provider=provider, options={"script": "caller"}),
    ]

    assert texts == ["configuration", "prompt", "caller"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"script": 5}, "got 'int'"), ({"scirpt": "x"}, "only 'script' for the mock provider, got 'scirpt'")],
)
async def test_an_invalid_option_of_a_call_is_reported(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await generate("Hi", options=options)


async def test_configured_options_may_be_part_of_a_call() -> None:
    assert await reply_text("Hi", options={"scripts": [], "latency": 1.0, "rate": None})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scripts": [{"match": "a", "answer": "[[repyl: x]]"}]}, "repyl"),
        ({"scripts": [{"match": "a"}]}, "answer"),
        ({"rate": 0}, "rate"),
        ({"latency": -1}, "latency"),
        ({"speed": 1}, "speed"),
    ],
)
def test_invalid_configured_options_are_rejected_at_startup(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mock(**options)
