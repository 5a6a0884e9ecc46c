"""The chat-completions wire against aimock, end to end over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aimanager_server.core.content import Reasoning, Text, Tool, ToolCall
from aimanager_server.core.errors import (
    GatewayError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejectedRequest,
    StreamInterrupted,
)
from aimanager_server.core.request import Call
from aimanager_server.core.response import FinishReason, TextDelta
from aimanager_server.core.usage import UsageSource
from aimanager_server.providers.http.provider import HttpProvider
from tests.support.aimock import AimockServer, aimock, missing
from tests.support.chat_completions import connected, events_of, finished_of, parts_of, question, soon, user

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
HOW = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def server() -> Iterator[AimockServer]:
    with aimock() as running:
        yield running


@pytest.fixture
async def provider(server: AimockServer) -> AsyncIterator[HttpProvider]:
    async with connected(f"{server.url}/v1") as connection:
        yield connection


def asking(text: str, streaming: bool, **more: Any) -> Call:
    return question(user(text), provider="upstream", model="gpt-6-luna", streaming=streaming, deadline=soon(10), **more)


@HOW
async def test_an_answer_comes_whole_with_its_usage(provider: HttpProvider, streaming: bool) -> None:
    events = await events_of(await provider(asking("say hello", streaming)))

    finished = finished_of(events)
    assert parts_of(events) == (Text("Hello from aimock, and good day."),)
    assert finished.reason is FinishReason.STOP
    assert (finished.usage.input_tokens, finished.usage.output_tokens) == (11, 7)


@HOW
async def test_reasoning_comes_before_the_text(provider: HttpProvider, streaming: bool) -> None:
    events = await events_of(await provider(asking("ponder", streaming)))

    assert parts_of(events) == (Reasoning("Six times nine."), Text("Forty-two."))
    assert finished_of(events).usage.source is UsageSource.REPORTED


@HOW
async def test_parallel_calls_come_apart(provider: HttpProvider, streaming: bool) -> None:
    call = asking("parallel weather", streaming, tools=(Tool("get_weather"),))

    events = await events_of(await provider(call))

    calls = [part for part in parts_of(events) if isinstance(part, ToolCall)]
    assert [(part.name, part.arguments_json) for part in calls] == [
        ("get_weather", '{"city":"Rome"}'),
        ("get_weather", '{"city":"Oslo"}'),
    ]
    assert len({part.id for part in calls}) == 2
    assert finished_of(events).reason is FinishReason.TOOL_CALLS


@HOW
@pytest.mark.parametrize(
    ("text", "kind", "wait"),
    [
        ("limit the rate", ProviderRateLimited, 1.0),
        ("be overloaded", ProviderOverloaded, None),
        ("fail plainly", ProviderRejectedRequest, None),
    ],
)
async def test_a_refusal_is_told_apart(
    provider: HttpProvider, streaming: bool, text: str, kind: type[GatewayError], wait: float | None
) -> None:
    with pytest.raises(kind) as caught:
        await provider(asking(text, streaming))

    assert caught.value.retry_after == wait


async def test_a_stream_that_breaks_off_is_interrupted(provider: HttpProvider) -> None:
    reply = await provider(asking("break off", streaming=True))

    first = await anext(aiter(reply))
    with pytest.raises(StreamInterrupted):
        await events_of(reply)

    assert isinstance(first, TextDelta)


async def test_the_model_list_is_a_probe(provider: HttpProvider) -> None:
    await provider.probe()


async def test_what_we_sent_is_what_it_got(server: AimockServer, provider: HttpProvider) -> None:
    await provider(asking("say hello", streaming=False, system_instruction="Be brief."))

    last = server.requests()[-1]
    assert last["path"] == "/v1/chat/completions"
    assert last["headers"]["x-client-request-id"] == "call-1"
    assert last["body"]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "say hello"},
    ]
