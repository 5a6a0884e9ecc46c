"""Build calls to Claude, and read the recorded exchanges of the Messages API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    Attachment,
    Effort,
    Message,
    Part,
    Reasoning,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from aimanager_server.core.request import Attempt, Call, Caller, Target
from aimanager_server.providers.wires.anthropic import AnthropicWire
from tests.support.vendor_sdks import validated_by
from tests.support.wire_cases import WireCases, text_parts, user

CATALOG = Catalog.load()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
WEATHER = Tool(
    "get_weather", "Weather in a city.", '{"type": "object", "properties": {"city": {"type": "string"}}}', strict=True
)
ASSISTANT_PARTS = (
    Reasoning("Two cities, so two calls.", provider_state=b"EqQBCkgIBxABGAIiQL8a+/9wZ=="),
    Reasoning("", redacted=True, provider_state=b"EmwKAhgBEgy3va3pzix/LafPsn4a="),
    Text("I'll look up both."),
    ToolCall("toolu_01A", "get_weather", '{"city": "Rome"}'),
    ToolCall("toolu_01B", "get_weather", '{"city": "Z\\u00fcrich"}'),
)


def anthropic_wire(base_url: str = "https://api.anthropic.com", **settings: Any) -> AnthropicWire:
    """Return the wire with the built-in catalog."""
    provider = ProviderSettings(wire="anthropic", base_url=base_url, **settings)
    return AnthropicWire(provider, Limits(), lambda model: CATALOG.find("claude", model), lambda: NOW)


def assistant(*parts: Part | str, provider: str = "claude", model: str = "") -> Message:
    return Message(Role.ASSISTANT, text_parts(parts), provider, model)


def make_attempt(
    *messages: Message, model: str = "claude-sonnet-5-5", options: dict[str, Any] | None = None, **fields: Any
) -> Attempt[Any]:
    """Return an attempt at a call. `sampling` and `reasoning` apply to its target."""
    target_fields = {name: fields.pop(name) for name in ("sampling", "reasoning") if name in fields}
    target = Target("claude", model, options=options or {}, **target_fields)
    call = Call(
        id="call-1",
        caller=Caller("ann"),
        requested_model=model,
        messages=messages or (user("Hi"),),
        targets=(target,),
        deadline=1e9,
        **fields,
    )
    return Attempt.of(call, call.target, 0.0, is_streamed=call.streaming)


def sent_body(attempt: Attempt[Any], wire: AnthropicWire | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((wire or anthropic_wire()).encode(attempt, "sk-ant-canary").body)
    return body


RECORDED_ATTEMPTS: dict[str, Attempt[Any]] = {
    "text": make_attempt(user("Capital of Italy?"), system_instruction="Be brief.", streaming=True),
    "parallel_tools": make_attempt(
        user("Weather in Rome and Zürich?"),
        assistant(*ASSISTANT_PARTS, model="claude-opus-5-5"),
        user("Quick, please.", ToolResult("toolu_01B", "get_weather", "9 °C")),
        user(
            ToolResult(
                "toolu_01A",
                "get_weather",
                "See the map.",
                attachments=(Attachment("image/jpg", data=b"\xff\xd8"), Attachment("application/pdf", data=b"%PDF")),
                is_error=True,
            )
        ),
        model="claude-opus-5-5",
        tools=(WEATHER, Tool("get_time")),
        tool_choice=ToolChoice(ToolMode.AUTO, parallel=False),
        reasoning=ReasoningOptions(Effort.HIGH, include=True),
        streaming=True,
    ),
    "attachments": make_attempt(
        user(
            "Compare.",
            Attachment("image/png", "chart.png", data=b"\x89PNG"),
            Attachment("image/webp", uri="https://example.com/a.webp"),
            Attachment("application/pdf", "report.pdf", data=b"%PDF-1.7"),
            Attachment("application/pdf", uri="https://example.com/b.pdf"),
            Attachment("text/csv; charset=utf-8", "rows.csv", data=b"a,b\n\xff"),
        ),
    ),
    "budget": make_attempt(
        user("Prove it."),
        model="claude-haiku-4-5",
        sampling=Sampling(stop_sequences=("END",), top_k=40, seed=7),
        reasoning=ReasoningOptions(Effort.MEDIUM, include=True),
        options={"metadata": {"user_id": "u1"}, "thinking": {"budget_tokens": 2000}},
    ),
    "sampling": make_attempt(
        user("Hi"),
        model="claude-opus-4-6",
        sampling=Sampling(max_output_tokens=100, temperature=0.0, top_p=0.9),
        reasoning=ReasoningOptions(Effort.NONE),
    ),
}


def message_start(**usage: int | None) -> dict[str, Any]:
    return {"type": "message_start", "message": {"usage": usage}}


def block_start(index: int, **content: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": content}


def block_delta(index: int, **content: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": content}


def block_stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def message_delta(reason: str | None = None, **usage: int | None) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


MESSAGE_STOP = {"type": "message_stop"}


SAMPLING_FIELDS = {"temperature", "top_p", "top_k"}
"""Fields of API version 2023-06-01, which is sent; the SDK dropped them with version 2026-10-21."""


def validated_by_sdk(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body as the request types of the SDK parse it."""
    params: Any = MessageCreateParamsStreaming if body.get("stream") else MessageCreateParamsNonStreaming
    return {**validated_by(params, body), **{name: body[name] for name in SAMPLING_FIELDS & set(body)}}


CASES = WireCases("anthropic", anthropic_wire())
RECORDINGS = CASES.names("stream.sse")
recorded_body, recorded_stream, read_stream = CASES.body, CASES.stream, CASES.read
