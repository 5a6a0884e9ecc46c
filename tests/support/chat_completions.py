"""Build calls on the chat-completions API, providers that send them, and its recorded responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Message, Part, Reasoning, ReasoningOptions, Role, Sampling, Text, ToolCall
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.core.response import Event, FinishReason
from aimanager_server.core.stream import ResponseStream
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpTransport, HttpxTransport, Transport
from aimanager_server.providers.wires.chat_completions import ChatCompletionsWire
from aimanager_server.providers.wires.chat_completions.vendors import QUIRKS, vendor_wire
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.http_transport import http_transport
from tests.support.paths import FIXTURES
from tests.support.wire_cases import text_parts, user

LIMITS = Limits()
CANARY = "canary-7Hq2mZ81xW"
VENDORS = (*QUIRKS, "chat_completions")
"""Every vendor of the wire, and the name of an unknown server."""


def provider_settings(base_url: str = "https://upstream.test/v1", **more: Any) -> ProviderSettings:
    return ProviderSettings(wire="chat_completions", base_url=base_url, **more)


def chat_wire(name: str = "chat_completions", **more: Any) -> ChatCompletionsWire:
    return vendor_wire(name, provider_settings(**more), LIMITS, lambda model: None)


def assistant(*parts: Part | str, provider: str = "chat_completions") -> Message:
    return Message(Role.ASSISTANT, text_parts(parts), provider, "some-model")


def make_attempt(
    *messages: Message,
    provider: str = "chat_completions",
    model: str = "some-model",
    sampling: Sampling = Sampling(),
    reasoning: ReasoningOptions = ReasoningOptions(),
    options: Mapping[str, Any] | None = None,
    deadline: float | None = None,
    **more: Any,
) -> Attempt[Any]:
    """Return an attempt at a call, by default without an effective deadline. `more` are fields of Call."""
    more.setdefault("caller", Caller("ann"))
    call = Call(
        id="call-1",
        requested_model="latest",
        messages=messages or (user("Hi"),),
        targets=(Target(provider, model, sampling, reasoning, options or {}),),
        deadline=1e9 if deadline is None else deadline,
        **more,
    )
    return Attempt.of(call, call.target, 0.0, is_streamed=call.streaming)


def sent_body(attempt: Attempt[Any], name: str = "chat_completions", **more: Any) -> dict[str, Any]:
    """Return the encoded body."""
    body: dict[str, Any] = json.loads(chat_wire(name, **more).encode(attempt, CANARY).body)
    return body


def recorded(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def read_stream(stream: bytes, name: str = "chat_completions") -> list[Event]:
    """Read a stream that arrives in one piece, to its end."""
    reader = chat_wire(name).stream_reader()
    return [*reader.feed(stream), *reader.end()]


async def collect_events(reply: ResponseStream) -> list[Event]:
    return [event async for event in reply]


def provider_with(transport: httpx.AsyncBaseTransport | Transport, *keys: str, **more: Any) -> HttpProvider:
    """Return a provider named "upstream" on the chat-completions API."""
    ring = KeyPool([(key, 1) for key in keys or (CANARY,)], clock=lambda: 0.0)
    base_url = more.pop("base_url", "https://upstream.test/v1")
    limits = more.pop("limits", LIMITS)
    wire = vendor_wire("upstream", provider_settings(base_url), limits, lambda model: None)
    http: Transport
    if isinstance(transport, httpx.AsyncBaseTransport) and not isinstance(transport, HttpTransport):
        http = HttpxTransport(transport)
    else:
        http = transport
    return HttpProvider("upstream", wire, http, ring, limits, **more)


def provider_responding(respond: Callable[[httpx.Request], httpx.Response], *keys: str, **more: Any) -> HttpProvider:
    """Return a provider whose requests are answered in the process."""
    return provider_with(httpx.MockTransport(respond), *keys, **more)


@asynccontextmanager
async def connected_provider(base_url: str, *keys: str, **more: Any) -> AsyncIterator[HttpProvider]:
    """Return a provider on real sockets. `pool` holds options of `http_transport`."""
    provider = provider_with(http_transport(**more.pop("pool", {})), *keys, base_url=base_url, **more)
    try:
        yield provider
    finally:
        await provider.aclose()


def deadline_in(seconds: float) -> float:
    """Return a deadline on the event loop's clock."""
    return asyncio.get_running_loop().time() + seconds


LOOK_CALLS = (ToolCall("x1", "look", '{"at":1}'), ToolCall("x2", "look", '{"at":2}'))
ROME, OSLO = (
    ToolCall(f"call_{city.lower()}", "get_weather", json.dumps({"city": city}, separators=(",", ":")))
    for city in ("Rome", "Oslo")
)
EXPECTED: dict[str, tuple[tuple[Part, ...], FinishReason]] = {
    "openai/text": ((Text("Grüße aus Rom 😀."),), FinishReason.STOP),
    "openai/tools": ((ROME, OSLO), FinishReason.TOOL_CALLS),
    "openai/forced_tool": ((ROME,), FinishReason.TOOL_CALLS),
    "openai/refusal": ((Text("I cannot help with that."),), FinishReason.REFUSAL),
    "openai/length": ((Text("Once upon"),), FinishReason.MAX_TOKENS),
    "openai/filtered": ((), FinishReason.CONTENT_FILTER),
    "deepseek/reasoning": (
        (Reasoning("The user wants the weather."), Text("Let me look."), ROME),
        FinishReason.TOOL_CALLS,
    ),
    "chat_completions/mistral_thinking": ((Reasoning("Hmm, six."), Text("It is six.")), FinishReason.STOP),
    "chat_completions/xai": ((Reasoning("Hm."), Text("Yes.")), FinishReason.STOP),
    "chat_completions/groq_reasoning": ((Reasoning("Hm."), Text("Yes.")), FinishReason.STOP),
    "chat_completions/gemini_no_index": (LOOK_CALLS, FinishReason.TOOL_CALLS),
    "chat_completions/counted_from_one": (LOOK_CALLS, FinishReason.TOOL_CALLS),
    "chat_completions/azure_filter_first": ((Text("Hi"),), FinishReason.STOP),
    "chat_completions/no_done_no_usage": ((Text("Hi"),), FinishReason.STOP),
    "chat_completions/null_finish": ((Text("Hi"),), FinishReason.STOP),
    "chat_completions/data_after_the_end": ((Text("Hiagain"),), FinishReason.MAX_TOKENS),
    "chat_completions/cumulative_usage": ((Text("Hi you"),), FinishReason.STOP),
    "chat_completions/crlf": ((Text("Hi\u2028"),), FinishReason.STOP),
}
BODY_RECORDINGS = [name for name in EXPECTED if (FIXTURES / f"{name}.json").exists()]
STREAM_RECORDINGS = [name for name in EXPECTED if (FIXTURES / f"{name}.sse").exists()]


def chunk(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def response_body(message: dict[str, object], finish: str | None = "stop", **more: object) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], **more}).encode()
