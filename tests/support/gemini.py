"""Build calls to Gemini, and read the recorded exchanges of the generateContent API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from google.genai import types
from pydantic import BaseModel, ConfigDict

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import (
    Attachment,
    Effort,
    JsonObjectFormat,
    JsonSchemaFormat,
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
from aimanager_server.providers.wires.gemini import GeminiWire
from aimanager_server.providers.wires.gemini.message_encoder import PLACEHOLDER_SIGNATURE
from tests.support.wire_cases import WireCases, text_parts, user

CATALOG = Catalog.load()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
KEY = "AIzaSyCanary-7Hq2mZ81xW"
SIGNATURE = b"CrsBAXLI2nz6tHk0pQ/9aF+aVQ1xwZkz2mB4eQ=="
WEATHER = Tool("get_weather", "Weather in a city.", '{"type": "object", "properties": {"city": {"type": "string"}}}')
ASSISTANT_PARTS = (
    Reasoning("Two cities, so two calls."),
    Text("I'll look up both."),
    ToolCall("fc_rome", "get_weather", '{"city": "Rome"}', SIGNATURE),
    ToolCall("fc_zurich", "get_weather", '{"city": "Z\\u00fcrich"}'),
)
RESULTS = (ToolResult("fc_zurich", "", "9 °C"), ToolResult("fc_rome", "", "No idea.", is_error=True))


def gemini_wire(base_url: str = BASE_URL, **settings: Any) -> GeminiWire:
    """Return the wire with the built-in catalog."""
    provider = ProviderSettings(wire="gemini", base_url=base_url, **settings)
    return GeminiWire(provider, Limits(), lambda model: CATALOG.find("gemini", model), lambda: NOW)


def assistant(*parts: Part | str, provider: str = "gemini", model: str = "gemini-4-argon") -> Message:
    return Message(Role.ASSISTANT, text_parts(parts), provider, model)


def make_attempt(
    *messages: Message, model: str = "gemini-4-argon", options: dict[str, Any] | None = None, **fields: Any
) -> Attempt[Any]:
    """Return an attempt at a call. `sampling` and `reasoning` apply to its target."""
    target_fields = {name: fields.pop(name) for name in ("sampling", "reasoning") if name in fields}
    fields.setdefault("deadline", 1e9)
    call = Call(
        id="call-1",
        caller=Caller("ann"),
        requested_model=model,
        messages=messages or (user("Hi"),),
        targets=(Target("gemini", model, options=options or {}, **target_fields),),
        **fields,
    )
    return Attempt.of(call, call.target, 0.0, is_streamed=call.streaming)


def sent_body(attempt: Attempt[Any], wire: GeminiWire | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((wire or gemini_wire()).encode(attempt, KEY).body)
    return body


def sent_contents(*messages: Message, **fields: Any) -> list[dict[str, Any]]:
    """Return the encoded messages."""
    contents: list[dict[str, Any]] = sent_body(make_attempt(*messages, **fields))["contents"]
    return contents


RECORDED_ATTEMPTS: dict[str, Attempt[Any]] = {
    "text": make_attempt(user("Capital of Italy?"), system_instruction="Be brief.", streaming=True),
    "parallel_tools": make_attempt(
        user("Weather in Rome and Zürich?"),
        assistant(*ASSISTANT_PARTS),
        user(*RESULTS),
        tools=(WEATHER, Tool("get_time")),
        tool_choice=ToolChoice(ToolMode.AUTO),
        reasoning=ReasoningOptions(Effort.HIGH, include=True),
        streaming=True,
    ),
    "attachments": make_attempt(
        user(
            "Compare.",
            Attachment("image/png", "chart.png", data=b"\x89PNG"),
            Attachment("image/jpg", uri="https://example.com/a.jpg"),
            Attachment("application/pdf", "report.pdf", data=b"%PDF-1.7"),
            Attachment("text/csv; charset=utf-8", "rows.csv", data=b"a,b\n\xff"),
            Attachment("application/json", data=b"{}"),
        ),
    ),
    "tool_files": make_attempt(
        user("Look."),
        assistant(ToolCall("a", "look", "{}", SIGNATURE)),
        user(
            ToolResult(
                "a",
                "look",
                "See the map.",
                (
                    Attachment("image/png", data=b"\x89PNG"),
                    Attachment("application/pdf", uri="https://example.com/b.pdf"),
                    Attachment("text/plain", "notes.txt", data=b"sand"),
                ),
            )
        ),
        tools=(Tool("look"),),
    ),
    "sampling": make_attempt(
        model="gemini-3.8-flash",
        sampling=Sampling(100, 0.0, 0.9, 40, 0, ("END", "STOP")),
        reasoning=ReasoningOptions(Effort.MINIMAL),
    ),
    "budget": make_attempt(
        model="gemini-2.5-flash", reasoning=ReasoningOptions(Effort.LOW, budget_tokens=2000, include=True)
    ),
    "named_tool": make_attempt(tools=(WEATHER,), tool_choice=ToolChoice(tool_name="get_weather")),
    "strict_tool": make_attempt(tools=(Tool("look", strict=True),)),
    "json": make_attempt(output_format=JsonObjectFormat()),
    "schema": make_attempt(
        output_format=JsonSchemaFormat(
            "city",
            '{"type": "object", "properties": {"city": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}',
        )
    ),
}


class SdkRequest(BaseModel):
    """A request in the types of the SDK. Unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None  # noqa: N815  the API's name
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None  # noqa: N815  the API's name
    generationConfig: types.GenerationConfig | None = None  # noqa: N815  the API's name


def validated_by_sdk(body: dict[str, Any]) -> Any:
    """Return the body as the request types of the SDK parse it.

    The SDK writes thinking levels in upper case and bytes in URL-safe base64; both are converted back.
    """
    parsed = SdkRequest.model_validate_json(json.dumps(body)).model_dump(mode="json", by_alias=True, exclude_unset=True)
    thinking = parsed.get("generationConfig", {}).get("thinkingConfig", {})
    if "thinkingLevel" in thinking:
        thinking["thinkingLevel"] = thinking["thinkingLevel"].lower()
    for part in (part for content in parsed["contents"] for part in content["parts"]):
        if part.get("thoughtSignature", PLACEHOLDER_SIGNATURE) != PLACEHOLDER_SIGNATURE:
            part["thoughtSignature"] = part["thoughtSignature"].translate(str.maketrans("-_", "+/"))
    return parsed


def response(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a response with one candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def usage_metadata(**counts: int) -> dict[str, Any]:
    """Return usage metadata, with counts by the prefix of their field names."""
    return {"usageMetadata": {f"{name}TokenCount": count for name, count in counts.items()}}


CASES = WireCases("gemini", gemini_wire())
STREAM_RECORDINGS, BODY_RECORDINGS = CASES.names("stream.sse"), CASES.names("response.json")
recorded_body, recorded_stream, read_stream = CASES.body, CASES.stream, CASES.read
