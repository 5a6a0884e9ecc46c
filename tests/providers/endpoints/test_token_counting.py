"""What each wire is sent to count a question, held against what the vendors' own clients would send."""

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
from aimanager_server.core.request import Call
from aimanager_server.providers.endpoint_factory import counter_of
from aimanager_server.providers.endpoints.token_counting import ENDPOINTS, HttpCounter
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.providers.wires.anthropic import Claude
from aimanager_server.providers.wires.dialect import Dialect
from aimanager_server.providers.wires.gemini import Gemini
from aimanager_server.providers.wires.responses import Responses
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.chat_completions import LIMITS, answering, question
from tests.support.mock_provider import mock

NOBODY = lambda model: None  # noqa: E731  # the facts of one who knows no model
DIALECTS: dict[str, Dialect] = {
    "claude": Claude(ProviderSettings(wire="claude", base_url="https://up.test"), LIMITS, NOBODY),
    "responses": Responses(ProviderSettings(wire="responses", base_url="https://up.test/v1"), LIMITS, NOBODY),
    "gemini": Gemini(ProviderSettings(wire="gemini", base_url="https://up.test/v1beta"), LIMITS, NOBODY),
}


def asked(wire: str) -> Call:
    return question(
        Message(Role.USER, (Text("Hi"),)),
        provider="upstream",
        model="some-model",
        sampling=Sampling(max_output_tokens=5, temperature=0.5, stop_sequences=("x",)),
        system_instruction="Be brief.",
        tools=(Tool("f", "does f"),),
    )


async def counted(wire: str, answer: dict[str, Any]) -> tuple[int | None, httpx.Request]:
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answer)

    keys = KeyRing([("k", 1)], lambda: 0.0)
    provider = HttpProvider("upstream", DIALECTS[wire], HttpxTransport(httpx.MockTransport(respond)), keys, LIMITS)
    return await HttpCounter(provider).count_tokens(asked(wire)), seen[0]


async def test_claude_counts_what_it_would_be_asked() -> None:
    count, sent = await counted("claude", {"input_tokens": 42})

    body = json.loads(sent.content)
    assert (count, str(sent.url)) == (42, "https://up.test/v1/messages/count_tokens")
    assert sent.headers["x-api-key"] == "k"
    assert body.keys() == {"model", "messages", "system", "tools"}
    assert body.keys() <= get_type_hints(MessageCountTokensParams).keys()


async def test_responses_counts_what_it_would_be_asked() -> None:
    count, sent = await counted("responses", {"object": "response.input_tokens", "input_tokens": 42})

    body = json.loads(sent.content)
    assert (count, str(sent.url)) == (42, "https://up.test/v1/responses/input_tokens")
    assert {"model", "input", "instructions", "tools"} <= body.keys()
    assert body.keys() <= get_type_hints(InputTokenCountParams).keys()


async def test_gemini_counts_the_whole_request() -> None:
    count, sent = await counted("gemini", {"totalTokens": 42})

    body = json.loads(sent.content)["generateContentRequest"]
    assert (count, str(sent.url)) == (42, "https://up.test/v1beta/models/some-model:countTokens")
    assert body["model"] == "models/some-model"
    assert {"contents", "systemInstruction", "tools"} <= body.keys()


@pytest.mark.parametrize(
    ("endpoint", "kind"), [(ENDPOINTS[0], MessageCountTokensParams), (ENDPOINTS[1], InputTokenCountParams)]
)
def test_no_field_is_sent_that_the_vendors_client_does_not_know(endpoint: Any, kind: type) -> None:
    assert endpoint.fields <= get_type_hints(kind).keys()


async def test_chat_completions_cannot_count() -> None:
    provider = answering(lambda request: httpx.Response(500))

    assert await HttpCounter(provider).count_tokens(asked("chat")) is None


@pytest.mark.parametrize("answer", [{}, {"input_tokens": "42"}])
async def test_an_answer_without_a_number_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ProviderProtocolError):
        await counted("claude", answer)


async def test_the_mock_counts_words() -> None:
    counter = counter_of(mock())
    assert counter is not None

    assert await counter.count_tokens(question(provider="mock", model="mock-large", deadline=2000.0)) == 1
