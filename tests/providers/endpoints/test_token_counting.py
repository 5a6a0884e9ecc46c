"""Token counting requests of each wire, compared with the fields of the vendors' own clients."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import httpx
import pytest
from anthropic.types import MessageCountTokensParams
from openai.types.responses import InputTokenCountParams

from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.content import Message, Role, Sampling, Text, Tool
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.request import Attempt
from aimanager_server.providers.endpoints.token_counting import ENDPOINTS, HttpTokenCounter
from aimanager_server.providers.factory import token_counter_for
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.providers.wires.anthropic import AnthropicWire
from aimanager_server.providers.wires.gemini import GeminiWire
from aimanager_server.providers.wires.responses import ResponsesWire
from aimanager_server.providers.wires.wire import Wire
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.chat_completions import LIMITS, make_attempt, provider_responding
from tests.support.mock_provider import mock

NO_MODEL = lambda model: None  # noqa: E731
WIRES: dict[str, Wire] = {
    "claude": AnthropicWire(ProviderSettings(wire="anthropic", base_url="https://up.test"), LIMITS, NO_MODEL),
    "responses": ResponsesWire(ProviderSettings(wire="responses", base_url="https://up.test/v1"), LIMITS, NO_MODEL),
    "gemini": GeminiWire(ProviderSettings(wire="gemini", base_url="https://up.test/v1beta"), LIMITS, NO_MODEL),
}


def count_attempt(wire: str) -> Attempt[Any]:
    return make_attempt(
        Message(Role.USER, (Text("Hi"),)),
        provider="upstream",
        model="some-model",
        sampling=Sampling(max_output_tokens=5, temperature=0.5, stop_sequences=("x",)),
        system_instruction="Be brief.",
        tools=(Tool("f", "does f"),),
    )


async def count_tokens(wire: str, response: dict[str, Any]) -> tuple[int | None, httpx.Request]:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=response)

    keys = KeyPool([("k", 1)], lambda: 0.0)
    provider = HttpProvider("upstream", WIRES[wire], HttpxTransport(httpx.MockTransport(respond)), keys, LIMITS)
    return await HttpTokenCounter(provider).count_tokens(count_attempt(wire)), requests[0]


async def test_anthropic_counts_the_generation_request() -> None:
    count, sent = await count_tokens("claude", {"input_tokens": 42})

    body = json.loads(sent.content)
    assert (count, str(sent.url)) == (42, "https://up.test/v1/messages/count_tokens")
    assert sent.headers["x-api-key"] == "k"
    assert body.keys() == {"model", "messages", "system", "tools"}
    assert body.keys() <= get_type_hints(MessageCountTokensParams).keys()


async def test_responses_counts_the_generation_request() -> None:
    count, sent = await count_tokens("responses", {"object": "response.input_tokens", "input_tokens": 42})

    body = json.loads(sent.content)
    assert (count, str(sent.url)) == (42, "https://up.test/v1/responses/input_tokens")
    assert {"model", "input", "instructions", "tools"} <= body.keys()
    assert body.keys() <= get_type_hints(InputTokenCountParams).keys()


async def test_gemini_counts_the_whole_generation_request() -> None:
    count, sent = await count_tokens("gemini", {"totalTokens": 42})

    body = json.loads(sent.content)["generateContentRequest"]
    assert (count, str(sent.url)) == (42, "https://up.test/v1beta/models/some-model:countTokens")
    assert body["model"] == "models/some-model"
    assert {"contents", "systemInstruction", "tools"} <= body.keys()


@pytest.mark.parametrize(
    ("endpoint", "kind"), [(ENDPOINTS[0], MessageCountTokensParams), (ENDPOINTS[1], InputTokenCountParams)]
)
def test_only_fields_of_the_vendors_client_are_sent(endpoint: Any, kind: type) -> None:
    assert endpoint.fields <= get_type_hints(kind).keys()


async def test_chat_completions_has_no_counting_endpoint() -> None:
    provider = provider_responding(lambda request: httpx.Response(500))

    assert await HttpTokenCounter(provider).count_tokens(count_attempt("chat")) is None


@pytest.mark.parametrize("response", [{}, {"input_tokens": "many"}, {"input_tokens": -42}, {"input_tokens": True}])
async def test_a_response_without_a_count_is_rejected(response: dict[str, Any]) -> None:
    with pytest.raises(ProviderProtocolError):
        await count_tokens("claude", response)


async def test_the_mock_provider_counts_words() -> None:
    counter = token_counter_for(mock())
    assert counter is not None

    assert await counter.count_tokens(make_attempt(provider="mock", model="mock-large", deadline=2000.0)) == 1
