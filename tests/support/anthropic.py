"""Questions to Claude, and the recorded exchanges that belong to them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming

from aimanager_server.catalog.catalog import Catalogue
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
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.core.response import Event, PartCompleted
from aimanager_server.providers.wires.anthropic import Claude
from tests.support import paths
from tests.support.vendor_sdks import seen_by

FIXTURES = paths.FIXTURES / "claude"
ANSWERS = sorted(path.parent.name for path in FIXTURES.glob("*/stream.sse"))
CATALOGUE = Catalogue.load()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
WEATHER = Tool(
    "get_weather", "Weather in a city.", '{"type": "object", "properties": {"city": {"type": "string"}}}', strict=True
)
CALLS = (
    Reasoning("Two cities, so two calls.", provider_state=b"EqQBCkgIBxABGAIiQL8a+/9wZ=="),
    Reasoning("", redacted=True, provider_state=b"EmwKAhgBEgy3va3pzix/LafPsn4a="),
    Text("I'll look up both."),
    ToolCall("toolu_01A", "get_weather", '{"city": "Rome"}'),
    ToolCall("toolu_01B", "get_weather", '{"city": "Z\\u00fcrich"}'),
)


def claude(base_url: str = "https://api.anthropic.com", **settings: Any) -> Claude:
    """The dialect over the catalogue that ships."""
    provider = ProviderSettings(wire="claude", base_url=base_url, **settings)
    return Claude(provider, Limits(), lambda model: CATALOGUE.find("claude", model), lambda: NOW)


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str, provider: str = "claude", model: str = "") -> Message:
    said = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Message(Role.ASSISTANT, said, provider, model)


def question(
    *messages: Message, model: str = "claude-sonnet-5-5", options: dict[str, Any] | None = None, **facts: Any
) -> Call:
    """A call; `sampling` and `reasoning` go to its target."""
    decided = {name: facts.pop(name) for name in ("sampling", "reasoning") if name in facts}
    target = Target("claude", model, options=options or {}, **decided)
    return Call(
        id="call-1",
        caller=Caller("ann"),
        requested_model=model,
        messages=messages or (user("Hi"),),
        targets=(target,),
        deadline=1e9,
        **facts,
    )


def sent(call: Call, dialect: Claude | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((dialect or claude()).encode(call, "sk-ant-canary").body)
    return body


QUESTIONS: dict[str, Call] = {
    "text": question(user("Capital of Italy?"), system_instruction="Be brief.", streaming=True),
    "parallel_tools": question(
        user("Weather in Rome and Zürich?"),
        assistant(*CALLS, model="claude-opus-5-5"),
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
    "attachments": question(
        user(
            "Compare.",
            Attachment("image/png", "chart.png", data=b"\x89PNG"),
            Attachment("image/webp", uri="https://example.com/a.webp"),
            Attachment("application/pdf", "report.pdf", data=b"%PDF-1.7"),
            Attachment("application/pdf", uri="https://example.com/b.pdf"),
            Attachment("text/csv; charset=utf-8", "rows.csv", data=b"a,b\n\xff"),
        ),
    ),
    "budget": question(
        user("Prove it."),
        model="claude-haiku-4-5",
        sampling=Sampling(stop_sequences=("END",), top_k=40, seed=7),
        reasoning=ReasoningOptions(Effort.MEDIUM, include=True),
        options={"metadata": {"user_id": "u1"}, "thinking": {"budget_tokens": 2000}},
    ),
    "sampling": question(
        user("Hi"),
        model="claude-opus-4-6",
        sampling=Sampling(max_output_tokens=100, temperature=0.0, top_p=0.9),
        reasoning=ReasoningOptions(Effort.NONE),
    ),
}


def completed(events: list[Event]) -> list[Part]:
    """The parts that were completed, in order."""
    return [event.part for event in events if isinstance(event, PartCompleted)]


def body_of(name: str) -> bytes:
    return (FIXTURES / name / "response.json").read_bytes()


def stream_of(name: str) -> bytes:
    return (FIXTURES / name / "stream.sse").read_bytes()


def streamed(*pieces: bytes) -> list[Event]:
    reader = claude().reader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.end()


def sse(*payloads: dict[str, Any] | str) -> bytes:
    """A stream without event names, whose payloads say what they are."""
    texts = [payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads]
    return b"".join(f"data: {text}\n\n".encode() for text in texts)


def start(**usage: int | None) -> dict[str, Any]:
    return {"type": "message_start", "message": {"usage": usage}}


def block(index: int, **content: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": content}


def delta(index: int, **content: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": content}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def message_delta(reason: str | None = None, **usage: int | None) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


END = {"type": "message_stop"}


OF_THE_OLDER_VERSION = {"temperature", "top_p", "top_k"}
"""Fields that the vendor's client forgot with version 2026-10-21; the older one, which is sent, has them."""


def checked(body: dict[str, Any]) -> dict[str, Any]:
    """The body as the vendor's own request types understand it."""
    params: Any = MessageCreateParamsStreaming if body.get("stream") else MessageCreateParamsNonStreaming
    return {**seen_by(params, body), **{name: body[name] for name in OF_THE_OLDER_VERSION & set(body)}}
