"""The chat-completions API against aimock, end to end over a socket."""

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
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import FinishReason, TextDelta
from aimanager_server.core.usage import UsageSource
from aimanager_server.providers.http.provider import HttpProvider
from tests.support.aimock import AimockServer, aimock, reason_to_skip
from tests.support.chat_completions import collect_events, connected_provider, deadline_in, make_attempt
from tests.support.wire_cases import completed_parts, finished_event, user

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())
BOTH_FORMS = pytest.mark.parametrize("streaming", [False, True], ids=["unary", "stream"])


@pytest.fixture(scope="module")
def server() -> Iterator[AimockServer]:
    with aimock() as running:
        yield running


@pytest.fixture
async def provider(server: AimockServer) -> AsyncIterator[HttpProvider]:
    async with connected_provider(f"{server.url}/v1") as connection:
        yield connection


def call_with(text: str, streaming: bool, **more: Any) -> Attempt[Any]:
    return make_attempt(
        user(text), provider="upstream", model="gpt-6-luna", streaming=streaming, deadline=deadline_in(10), **more
    )


@BOTH_FORMS
async def test_text_response_has_usage(provider: HttpProvider, streaming: bool) -> None:
    events = await collect_events(await provider(call_with("say hello", streaming)))

    finished = finished_event(events)
    assert completed_parts(events) == (Text("Hello from aimock, and good day."),)
    assert finished.reason is FinishReason.STOP
    assert (finished.usage.input_tokens, finished.usage.output_tokens) == (11, 7)


@BOTH_FORMS
async def test_reasoning_precedes_the_text(provider: HttpProvider, streaming: bool) -> None:
    events = await collect_events(await provider(call_with("ponder", streaming)))

    assert completed_parts(events) == (Reasoning("Six times nine."), Text("Forty-two."))
    assert finished_event(events).usage.source is UsageSource.REPORTED


@BOTH_FORMS
async def test_parallel_tool_calls_are_separated(provider: HttpProvider, streaming: bool) -> None:
    call = call_with("parallel weather", streaming, tools=(Tool("get_weather"),))

    events = await collect_events(await provider(call))

    calls = [part for part in completed_parts(events) if isinstance(part, ToolCall)]
    assert [(part.name, part.arguments_json) for part in calls] == [
        ("get_weather", '{"city":"Rome"}'),
        ("get_weather", '{"city":"Oslo"}'),
    ]
    assert len({part.id for part in calls}) == 2
    assert finished_event(events).reason is FinishReason.TOOL_CALLS


@BOTH_FORMS
@pytest.mark.parametrize(
    ("text", "error_type", "retry_after"),
    [
        ("limit the rate", ProviderRateLimited, 1.0),
        ("be overloaded", ProviderOverloaded, None),
        ("fail plainly", ProviderRejectedRequest, None),
    ],
)
async def test_errors_are_mapped(
    provider: HttpProvider, streaming: bool, text: str, error_type: type[GatewayError], retry_after: float | None
) -> None:
    with pytest.raises(error_type) as caught:
        await provider(call_with(text, streaming))

    assert caught.value.retry_after == retry_after


async def test_truncated_stream_is_interrupted(provider: HttpProvider) -> None:
    response = await provider(call_with("break off", streaming=True))

    first = await anext(aiter(response))
    with pytest.raises(StreamInterrupted):
        await collect_events(response)

    assert isinstance(first, TextDelta)


async def test_probe_reads_the_model_list(provider: HttpProvider) -> None:
    await provider.probe()


async def test_request_arrives_as_sent(server: AimockServer, provider: HttpProvider) -> None:
    await provider(call_with("say hello", streaming=False, system_instruction="Be brief."))

    last = server.requests()[-1]
    assert last["path"] == "/v1/chat/completions"
    assert last["headers"]["x-client-request-id"] == "call-1"
    assert last["body"]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "say hello"},
    ]
