"""Questions on the chat-completions wire, and the providers that would ask them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Message, Part, ReasoningOptions, Role, Sampling, Text
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.core.response import Event, Finished, PartCompleted, ResponseStream
from aimanager_server.providers.http.pool import AiohttpTransport
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport, Transport
from aimanager_server.providers.wires.chat_completions import ChatCompletions, chat_completions
from aimanager_server.providers.wires.chat_completions.deepseek import deepseek
from aimanager_server.providers.wires.chat_completions.groq import groq
from aimanager_server.providers.wires.chat_completions.mistral import mistral
from aimanager_server.providers.wires.chat_completions.vendors import openai
from aimanager_server.providers.wires.chat_completions.xai import xai
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.paths import FIXTURES

LIMITS = Limits()
CANARY = "canary-7Hq2mZ81xW"
DIALECTS: Mapping[str, Callable[[ProviderSettings, Limits], ChatCompletions]] = {
    "openai": openai,
    "deepseek": deepseek,
    "mistral": mistral,
    "xai": xai,
    "groq": groq,
    "chat_completions": chat_completions,
}


def settings(base_url: str = "https://upstream.test/v1", **more: Any) -> ProviderSettings:
    return ProviderSettings(wire="chat_completions", base_url=base_url, **more)


def dialect(name: str = "chat_completions", **more: Any) -> ChatCompletions:
    return DIALECTS[name](settings(**more), LIMITS)


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str, provider: str = "chat_completions") -> Message:
    said = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Message(Role.ASSISTANT, said, provider, "some-model")


def question(
    *messages: Message,
    provider: str = "chat_completions",
    model: str = "some-model",
    sampling: Sampling = Sampling(),
    reasoning: ReasoningOptions = ReasoningOptions(),
    options: Mapping[str, Any] | None = None,
    deadline: float | None = None,
    **more: Any,
) -> Call:
    """A call to one target; without a deadline, one that never comes. Takes what Call takes."""
    more.setdefault("caller", Caller("ann"))
    return Call(
        id="call-1",
        requested_model="latest",
        messages=messages or (user("Hi"),),
        targets=(Target(provider, model, sampling, reasoning, options or {}),),
        deadline=1e9 if deadline is None else deadline,
        **more,
    )


def sent(call: Call, name: str = "chat_completions", **more: Any) -> dict[str, Any]:
    """The body that would go out."""
    body: dict[str, Any] = json.loads(dialect(name, **more).encode(call, CANARY).body)
    return body


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def read_all(stream: bytes, name: str = "chat_completions") -> list[Event]:
    """What a streamed answer says, as if one read had brought it."""
    reader = dialect(name).reader()
    return [*reader.feed(stream), *reader.end()]


def parts_of(events: list[Event]) -> tuple[Part, ...]:
    return tuple(event.part for event in events if isinstance(event, PartCompleted))


def finished_of(events: list[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


async def events_of(reply: ResponseStream) -> list[Event]:
    return [event async for event in reply]


def provider_at(transport: httpx.AsyncBaseTransport | Transport, *keys: str, **more: Any) -> HttpProvider:
    """A provider named "upstream" on the chat-completions wire."""
    ring = KeyRing([(key, 1) for key in keys or (CANARY,)], clock=lambda: 0.0)
    base_url = more.pop("base_url", "https://upstream.test/v1")
    limits = more.pop("limits", LIMITS)
    spoken = chat_completions(settings(base_url), limits)
    seam = HttpxTransport(transport) if isinstance(transport, httpx.AsyncBaseTransport) else transport
    return HttpProvider("upstream", spoken, seam, ring, limits, **more)


def answering(respond: Callable[[httpx.Request], httpx.Response], *keys: str, **more: Any) -> HttpProvider:
    """A provider whose requests never leave the process."""
    return provider_at(httpx.MockTransport(respond), *keys, **more)


@asynccontextmanager
async def connected(base_url: str, *keys: str, **more: Any) -> AsyncIterator[HttpProvider]:
    """A provider over real sockets."""
    pool = {"max_connections": 10, "idle_connections": 10, "connect_timeout": 5.0} | more.pop("pool", {})
    provider = provider_at(AiohttpTransport("upstream", **pool), *keys, base_url=base_url, **more)
    try:
        yield provider
    finally:
        await provider.aclose()


def soon(seconds: float) -> float:
    """A deadline on the event loop's clock."""
    return asyncio.get_running_loop().time() + seconds
