"""Whole exchanges with a stand-in for the Messages API that nobody here wrote; skipped where there is no Node."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Effort, Message, Reasoning, ReasoningOptions, Text, ToolCall, ToolResult
from aimanager_server.core.errors import ProviderOverloaded, ProviderRateLimited, StreamInterrupted
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, FinishReason, ResponseStream, TextDelta
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.http.pool import AiohttpTransport
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import Response
from aimanager_server.providers.wires.dialect import HttpRequest
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.anthropic import WEATHER, claude, question, user
from tests.support.paths import ROOT

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
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the stand-in listens."""
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    command = ["node", str(COMMAND), "-p", "0", "-f", str(fixtures), "--latency", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line.split()[-1] for line in process.stdout if "listening on" in line)
        finally:
            process.terminate()


class Recording:
    """Real sockets, and a copy of every body: the stand-in's journal shows them in another vendor's shape."""

    def __init__(self) -> None:
        self._pool = AiohttpTransport("claude", max_connections=4, idle_connections=4, connect_timeout=5.0)
        self.bodies: list[bytes] = []

    async def send(self, request: HttpRequest) -> Response:
        self.bodies.append(request.body)
        return await self._pool.send(request)

    async def aclose(self) -> None:
        await self._pool.aclose()


@pytest.fixture
def transport() -> Recording:
    return Recording()


@pytest.fixture
async def provider(stand_in: str, transport: Recording) -> AsyncIterator[HttpProvider]:
    keys = KeyRing([("sk-ant-canary", 1)], clock=lambda: 0.0)
    provider = HttpProvider("claude", claude(stand_in), transport, keys, Limits())
    yield provider
    await provider.aclose()


def ask(text: str, *more: Message, **facts: Any) -> Call:
    return question(user(text), *more, model="claude-opus-5-5", **facts)


async def into(seen: list[Event], reply: ResponseStream) -> None:
    async for event in reply:
        seen.append(event)


def last_sent(stand_in: str) -> dict[str, Any]:
    """The journal's last entry."""
    with urllib.request.urlopen(f"{stand_in}/v1/_requests") as response:
        entries: list[dict[str, Any]] = json.load(response)
    return entries[-1]


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_plain_answer_arrives(provider: HttpProvider, stand_in: str, streaming: bool) -> None:
    reply = await provider(ask("plain", streaming=streaming))

    completion = await reply.result()

    assert completion.message.parts == (Text(LONG),)
    assert completion.finished.reason is FinishReason.STOP
    assert completion.finished.usage == Usage(11, 12, source=UsageSource.REPORTED)
    journal = await asyncio.to_thread(last_sent, stand_in)
    assert journal["path"] == "/v1/messages"
    assert journal["headers"]["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("streaming", [False, True])
async def test_signed_reasoning_makes_the_round_trip(
    provider: HttpProvider, transport: Recording, streaming: bool
) -> None:
    asked = ReasoningOptions(Effort.HIGH, include=True)
    first = await (await provider(ask("ponder", streaming=streaming, reasoning=asked))).result()

    assert first.message.parts == (Reasoning("It is Italy.", provider_state=b"SigABC+/="), Text("Rome."))

    await (await provider(ask("ponder", first.message, user("plain"), reasoning=asked))).result()
    assert json.loads(transport.bodies[-1])["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "It is Italy.",
        "signature": "SigABC+/=",
    }


@pytest.mark.parametrize("streaming", [False, True])
async def test_parallel_tool_calls_arrive_and_are_answered(provider: HttpProvider, streaming: bool) -> None:
    first = await (await provider(ask("both cities", streaming=streaming, tools=(WEATHER,)))).result()

    calls = [part for part in first.message.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments_json)["city"]) for call in calls] == [
        ("get_weather", "Rome"),
        ("get_weather", "Zürich"),
    ]
    assert first.finished.reason is FinishReason.TOOL_CALLS

    results = user(*(ToolResult(call.id, call.name, "sunny") for call in calls), "plain")
    second = await (await provider(ask("both cities", first.message, results, tools=(WEATHER,)))).result()
    assert second.message.parts == (Text(LONG),)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_rate_limit_comes_with_its_advice(provider: HttpProvider, streaming: bool) -> None:
    with pytest.raises(ProviderRateLimited, match="Slow down") as refused:
        await provider(ask("too often", streaming=streaming))

    assert refused.value.retry_after == 1.0


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_overload_is_told(provider: HttpProvider, streaming: bool) -> None:
    with pytest.raises(ProviderOverloaded, match="Overloaded"):
        await provider(ask("overload", streaming=streaming))


async def test_a_truncated_stream_is_never_an_answer(provider: HttpProvider) -> None:
    reply = await provider(ask("cut off", streaming=True))
    seen: list[Event] = []

    with pytest.raises(StreamInterrupted):
        await into(seen, reply)

    assert any(isinstance(event, TextDelta) for event in seen)


async def test_its_model_list_answers_a_probe(provider: HttpProvider) -> None:
    await provider.probe()
