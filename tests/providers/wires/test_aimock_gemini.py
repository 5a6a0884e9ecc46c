"""The Gemini API against aimock, end to end over a socket."""

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
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import FinishReason, TextDelta
from aimanager_server.providers.factory import open_provider
from tests.support.aimock import AimockServer, aimock, reason_to_skip
from tests.support.chat_completions import deadline_in
from tests.support.gemini import CATALOG, KEY, WEATHER, make_attempt
from tests.support.wire_cases import user

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())
BOTH_FORMS = pytest.mark.parametrize("streaming", [False, True], ids=["unary", "stream"])


@pytest.fixture(scope="module")
def server() -> Iterator[AimockServer]:
    with aimock() as running:
        yield running


@pytest.fixture
async def provider(server: AimockServer) -> AsyncIterator[Provider]:
    settings = ProviderSettings.model_validate({"wire": "gemini", "base_url": f"{server.url}/v1beta", "api_key": KEY})
    opened = open_provider("gemini", settings, Limits(), lambda model: CATALOG.find("gemini", model))
    yield opened
    await opened.aclose()


def call_with(text: str, streaming: bool, *more: Any, **fields: Any) -> Attempt[Any]:
    return make_attempt(user(text), *more, streaming=streaming, deadline=deadline_in(10), **fields)


@BOTH_FORMS
async def test_text_response_has_usage(provider: Provider, streaming: bool) -> None:
    result = await (await provider(call_with("say hello", streaming))).result()

    assert result.message.parts == (Text("Hello from aimock, and good day."),)
    assert result.finished.reason is FinishReason.STOP
    assert (result.finished.usage.input_tokens, result.finished.usage.output_tokens) == (11, 7)


@BOTH_FORMS
async def test_reasoning_precedes_the_text(provider: Provider, streaming: bool) -> None:
    call = call_with("ponder", streaming, reasoning=ReasoningOptions(include=True))

    result = await (await provider(call)).result()

    assert result.message.parts == (Reasoning("Six times nine."), Text("Forty-two."))


@BOTH_FORMS
async def test_parallel_tool_calls_make_the_round_trip(
    provider: Provider, server: AimockServer, streaming: bool
) -> None:
    first = await (await provider(call_with("parallel weather", streaming, tools=(WEATHER,)))).result()

    calls = [part for part in first.message.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments_json)) for call in calls] == [
        ("get_weather", {"city": "Rome"}),
        ("get_weather", {"city": "Oslo"}),
    ]
    assert len({call.id for call in calls}) == 2
    # A finish reason of aimock that the Gemini API does not have.
    assert (first.finished.reason, first.finished.provider_reason) == (FinishReason.TOOL_CALLS, "FUNCTION_CALL")

    results = user(*(ToolResult(call.id, "", "sunny") for call in calls), "say hello")
    follow_up = call_with("parallel weather", streaming, first.message, results, tools=(WEATHER,))
    second = await (await provider(follow_up)).result()
    assert second.message.parts == (Text("Hello from aimock, and good day."),)


@BOTH_FORMS
@pytest.mark.parametrize(
    ("text", "error_type"), [("limit the rate", ProviderRateLimited), ("fail plainly", ProviderRejectedRequest)]
)
async def test_errors_are_mapped(
    provider: Provider, streaming: bool, text: str, error_type: type[GatewayError]
) -> None:
    with pytest.raises(error_type):
        await provider(call_with(text, streaming))


async def test_truncated_stream_is_interrupted(provider: Provider) -> None:
    response = await provider(call_with("break off", streaming=True))

    first = await anext(aiter(response))
    with pytest.raises(StreamInterrupted):
        await response.result()

    assert isinstance(first, TextDelta)


async def test_key_is_sent_in_a_header_only(provider: Provider, server: AimockServer) -> None:
    await provider(call_with("say hello", streaming=False))

    last = server.requests()[-1]
    assert last["path"] == "/v1beta/models/gemini-4-argon:generateContent"
    assert "x-goog-api-key" in last["headers"]
    assert last["headers"]["x-client-request-id"] == "call-1"
