"""The Messages API against aimock, end to end over a socket. Skipped without Node."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from math import inf
from typing import Any

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Effort, Message, Reasoning, ReasoningOptions, Text, ToolCall, ToolResult
from aimanager_server.core.errors import ProviderOverloaded, ProviderRateLimited, StreamInterrupted
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import Event, FinishReason, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpTransport, Response
from aimanager_server.providers.wires.wire import HttpRequest
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.anthropic import WEATHER, anthropic_wire, make_attempt
from tests.support.paths import ROOT
from tests.support.wire_cases import user

COMMAND = ROOT / "tests" / "aimock" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
LONG = "One two three four five six seven eight nine ten eleven twelve."
FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "plain"},
        "response": {"content": LONG, "usage": {"input_tokens": 11, "output_tokens": 12}},
    },
    {
        "match": {"userMessage": "ponder"},
        "response": {"content": "Rome.", "reasoning": "It is Italy.", "reasoningSignature": "SigABC+/="},
    },
    {
        "match": {"userMessage": "both cities"},
        "response": {
            "toolCalls": [
                {"name": "get_weather", "arguments": {"city": "Rome"}},
                {"name": "get_weather", "arguments": {"city": "Zürich"}},
            ]
        },
    },
    {
        "match": {"userMessage": "too often"},
        "response": {"error": {"message": "Slow down", "type": "rate_limit_error"}, "status": 429},
    },
    {
        "match": {"userMessage": "overload"},
        "response": {"error": {"message": "Overloaded", "type": "overloaded_error"}, "status": 529},
    },
    {"match": {"userMessage": "cut off"}, "response": {"content": LONG}, "truncateAfterChunks": 4},
]

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not COMMAND.exists(), reason="needs Node and npm ci in tests/aimock"
)


@pytest.fixture(scope="module")
def aimock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run aimock with these fixtures and return its URL."""
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    command = ["node", str(COMMAND), "-p", "0", "-f", str(fixtures), "--latency", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line.split()[-1] for line in process.stdout if "listening on" in line)
        finally:
            process.terminate()


class RecordingTransport:
    """Send over real sockets and keep every body, because aimock's journal shows another vendor's format."""

    def __init__(self) -> None:
        self._pool = HttpTransport("claude", max_connections=4, max_idle_connections=4, connect_timeout=5.0)
        self.bodies: list[bytes] = []

    async def send(self, request: HttpRequest, deadline: float = inf) -> Response:
        self.bodies.append(request.body)
        return await self._pool.send(request, deadline)

    async def aclose(self) -> None:
        await self._pool.aclose()


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
async def provider(aimock_url: str, transport: RecordingTransport) -> AsyncIterator[HttpProvider]:
    keys = KeyPool([("sk-ant-canary", 1)], clock=lambda: 0.0)
    provider = HttpProvider("claude", anthropic_wire(aimock_url), transport, keys, Limits())
    yield provider
    await provider.aclose()


def call_with(text: str, *more: Message, **fields: Any) -> Attempt[Any]:
    return make_attempt(user(text), *more, model="claude-opus-5-5", **fields)


async def collect_into(seen: list[Event], response: ResponseStream) -> None:
    async for event in response:
        seen.append(event)


def last_request(aimock_url: str) -> dict[str, Any]:
    """Return the last request in the journal."""
    with urllib.request.urlopen(f"{aimock_url}/v1/_requests") as journal:
        requests: list[dict[str, Any]] = json.load(journal)
    return requests[-1]


@pytest.mark.parametrize("streaming", [False, True])
async def test_text_response_arrives(provider: HttpProvider, aimock_url: str, streaming: bool) -> None:
    response = await provider(call_with("plain", streaming=streaming))

    result = await response.result()

    assert result.message.parts == (Text(LONG),)
    assert result.finished.reason is FinishReason.STOP
    assert result.finished.usage == Usage(11, 12, source=UsageSource.REPORTED)
    journal = await asyncio.to_thread(last_request, aimock_url)
    assert journal["path"] == "/v1/messages"
    assert journal["headers"]["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("streaming", [False, True])
async def test_signed_reasoning_makes_the_round_trip(
    provider: HttpProvider, transport: RecordingTransport, streaming: bool
) -> None:
    reasoning = ReasoningOptions(Effort.HIGH, include=True)
    first = await (await provider(call_with("ponder", streaming=streaming, reasoning=reasoning))).result()

    assert first.message.parts == (Reasoning("It is Italy.", provider_state=b"SigABC+/="), Text("Rome."))

    await (await provider(call_with("ponder", first.message, user("plain"), reasoning=reasoning))).result()
    assert json.loads(transport.bodies[-1])["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "It is Italy.",
        "signature": "SigABC+/=",
    }


@pytest.mark.parametrize("streaming", [False, True])
async def test_parallel_tool_calls_make_the_round_trip(provider: HttpProvider, streaming: bool) -> None:
    first = await (await provider(call_with("both cities", streaming=streaming, tools=(WEATHER,)))).result()

    calls = [part for part in first.message.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments_json)["city"]) for call in calls] == [
        ("get_weather", "Rome"),
        ("get_weather", "Zürich"),
    ]
    assert first.finished.reason is FinishReason.TOOL_CALLS

    results = user(*(ToolResult(call.id, call.name, "sunny") for call in calls), "plain")
    second = await (await provider(call_with("both cities", first.message, results, tools=(WEATHER,)))).result()
    assert second.message.parts == (Text(LONG),)


@pytest.mark.parametrize("streaming", [False, True])
async def test_rate_limit_has_a_retry_delay(provider: HttpProvider, streaming: bool) -> None:
    with pytest.raises(ProviderRateLimited, match="Slow down") as caught:
        await provider(call_with("too often", streaming=streaming))

    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize("streaming", [False, True])
async def test_overload_is_mapped(provider: HttpProvider, streaming: bool) -> None:
    with pytest.raises(ProviderOverloaded, match="Overloaded"):
        await provider(call_with("overload", streaming=streaming))


async def test_truncated_stream_is_interrupted(provider: HttpProvider) -> None:
    response = await provider(call_with("cut off", streaming=True))
    seen: list[Event] = []

    with pytest.raises(StreamInterrupted):
        await collect_into(seen, response)

    assert any(isinstance(event, TextDelta) for event in seen)


async def test_probe_reads_the_model_list(provider: HttpProvider) -> None:
    await provider.probe()
