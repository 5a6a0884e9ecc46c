from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Message, Role, Text, ToolCall, ToolResult
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.response import FinishReason
from aimanager_server.providers.mock.script_parser import DIRECTIVES
from tests.support.mock_provider import WEATHER, answer, mock, said, turn


@pytest.mark.parametrize("text", ["see [[Rome]] and [[1,2],[3,4]]", "[[foo]]", "[[ reply: x]]", "a]]b"])
async def test_other_double_brackets_are_ordinary_text(text: str) -> None:
    assert f'You said: "{text}"' in await said(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[repyl: x]]", "'repyl'"),
        ("[[repyl: x", "'repyl'"),
        ("[[reply: x", "never closed"),
        ("[[reply: x ] y", "never closed"),
        ("[[rate: fast]]", "'fast'"),
        ("[[rate: 0]]", "above 0"),
        ("[[rate: -1]]", "'-1'"),
        ("[[latency: nan]]", "'nan'"),
        ("[[cut: 1.5]]", "'1.5'"),
        ("[[cut]]", "''"),
        ("[[stall: 9999999999]]", "999999999"),
        ("[[words: 1000001]]", "1000000"),
        ("[[think: 1000001]]", "1000000"),
        ("[[think]]", "''"),
        ("[[cut: 3 seconds=1]]", "'seconds' is not one of times"),
        ("[[stall: 3 for=1]]", "'for' is not one of seconds, times"),
        ("[[latency: 1 times=x]]", "'x'"),
        ("[[tool:]]", "names no tool"),
        ("[[finish: done]]", "'done'"),
        ("[[error: OOPS]]", "PROVIDER_OVERLOADED"),
        ("[[error:]]", "PROVIDER_OVERLOADED"),
        ("[[error: PROVIDER_ERROR retry=2]]", "'retry' is not one of retry_after, times"),
        ("[[usage: 10]]", "''"),
        ("[[usage: 10/20 cached=1]]", "'cached'"),
    ],
)
async def test_a_directive_that_cannot_be_read_is_named(text: str, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await answer("Hi " + text)

    assert complaint in refused.value.message
    assert refused.value.violations[0].field == "messages"


@pytest.mark.parametrize("example", list(DIRECTIVES.values()))
async def test_an_unknown_directive_is_told_all_the_others(example: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await answer("[[nonsense: 1]]")

    assert example in refused.value.message


async def test_the_first_script_that_matches_answers() -> None:
    provider = mock(
        scripts=[
            {"match": "weather", "answer": f"Let me look. {WEATHER} [[then]] Sunny. [[finish: max_tokens]]"},
            {"match": "", "answer": "Hello."},
            {"match": "never", "answer": "Never."},
        ]
    )
    asked = turn("The weather?")
    called = Message(Role.ASSISTANT, (ToolCall("1", "get_weather", "{}"),))

    first = await answer(asked, provider=provider)
    second = await answer(asked, called, turn(ToolResult("1", "get_weather", "x")), provider=provider)

    assert first.message.parts == (Text("Let me look."), ToolCall("call_1_1", "get_weather", '{"city":"Rome"}'))
    assert second.message.parts == (Text("Sunny."),)
    assert second.finished.reason is FinishReason.MAX_TOKENS
    assert await said("never", provider=provider) == "Hello."


async def test_caller_beats_prompt_beats_configuration() -> None:
    provider = mock(scripts=[{"match": "", "answer": "configuration"}])

    texts = [
        await said("Hi", provider=provider),
        await said("Hi [[reply: prompt]]", provider=provider),
        await said("Hi [[reply: prompt]]", provider=provider, options={"script": "caller"}),
    ]

    assert texts == ["configuration", "prompt", "caller"]


@pytest.mark.parametrize(
    ("options", "complaint"), [({"script": 5}, "'int'"), ({"scirpt": "x"}, "'scirpt'; accepted is 'script'")]
)
async def test_an_option_that_cannot_be_used_is_named(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        await answer("Hi", options=options)


async def test_what_the_operator_configured_may_come_along_with_a_call() -> None:
    assert await said("Hi", options={"scripts": [], "latency": 1.0, "rate": None})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"scripts": [{"match": "a", "answer": "[[repyl: x]]"}]}, "repyl"),
        ({"scripts": [{"match": "a"}]}, "answer"),
        ({"rate": 0}, "rate"),
        ({"latency": -1}, "latency"),
        ({"speed": 1}, "speed"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_at_the_start(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        mock(**options)
