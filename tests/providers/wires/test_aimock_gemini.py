"""The gemini wire against aimock, end to end over a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Reasoning, ReasoningOptions, Text, ToolCall, ToolResult
from aimanager_server.core.errors import GatewayError, ProviderRateLimited, ProviderRejectedRequest, StreamInterrupted
from aimanager_server.core.handler import Provider
from aimanager_server.core.request import Call
from aimanager_server.core.response import FinishReason, TextDelta
from aimanager_server.providers.factory import open_provider
from tests.support.aimock import AimockServer, aimock, missing
from tests.support.chat_completions import soon
from tests.support.gemini import CATALOGUE, KEY, WEATHER, question, user

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
HOW = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def server() -> Iterator[AimockServer]:
    with aimock() as running:
        yield running


@pytest.fixture
async def provider(server: AimockServer) -> AsyncIterator[Provider]:
    there = ProviderSettings.model_validate({"wire": "gemini", "base_url": f"{server.url}/v1beta", "api_key": KEY})
    opened = open_provider("gemini", there, Limits(), lambda model: CATALOGUE.find("gemini", model))
    yield opened
    await opened.aclose()


def asking(text: str, streaming: bool, *more: Any, **facts: Any) -> Call:
    return question(user(text), *more, streaming=streaming, deadline=soon(10), **facts)


@HOW
async def test_an_answer_comes_whole_with_its_usage(provider: Provider, streaming: bool) -> None:
    answer = await (await provider(asking("say hello", streaming))).result()

    assert answer.message.parts == (Text("Hello from aimock, and good day."),)
    assert answer.finished.reason is FinishReason.STOP
    assert (answer.finished.usage.input_tokens, answer.finished.usage.output_tokens) == (11, 7)


@HOW
async def test_reasoning_comes_before_the_text(provider: Provider, streaming: bool) -> None:
    call = asking("ponder", streaming, reasoning=ReasoningOptions(include=True))

    answer = await (await provider(call)).result()

    assert answer.message.parts == (Reasoning("Six times nine."), Text("Forty-two."))


@HOW
async def test_parallel_calls_come_apart_and_are_answered(
    provider: Provider, server: AimockServer, streaming: bool
) -> None:
    first = await (await provider(asking("parallel weather", streaming, tools=(WEATHER,)))).result()

    calls = [part for part in first.message.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments_json)) for call in calls] == [
        ("get_weather", {"city": "Rome"}),
        ("get_weather", {"city": "Oslo"}),
    ]
    assert len({call.id for call in calls}) == 2
    # The stand-in's own word, which Google does not have.
    assert (first.finished.reason, first.finished.provider_reason) == (FinishReason.TOOL_CALLS, "FUNCTION_CALL")

    results = user(*(ToolResult(call.id, "", "sunny") for call in calls), "say hello")
    again = asking("parallel weather", streaming, first.message, results, tools=(WEATHER,))
    second = await (await provider(again)).result()
    assert second.message.parts == (Text("Hello from aimock, and good day."),)


@HOW
@pytest.mark.parametrize(
    ("text", "kind"), [("limit the rate", ProviderRateLimited), ("fail plainly", ProviderRejectedRequest)]
)
async def test_a_refusal_is_told_apart(
    provider: Provider, streaming: bool, text: str, kind: type[GatewayError]
) -> None:
    with pytest.raises(kind):
        await provider(asking(text, streaming))


async def test_a_stream_that_breaks_off_is_interrupted(provider: Provider) -> None:
    reply = await provider(asking("break off", streaming=True))

    first = await anext(aiter(reply))
    with pytest.raises(StreamInterrupted):
        await reply.result()

    assert isinstance(first, TextDelta)


async def test_the_key_is_in_a_header_alone(provider: Provider, server: AimockServer) -> None:
    await provider(asking("say hello", streaming=False))

    last = server.requests()[-1]
    assert last["path"] == "/v1beta/models/gemini-4-argon:generateContent"
    assert "x-goog-api-key" in last["headers"]
    assert last["headers"]["x-client-request-id"] == "call-1"
