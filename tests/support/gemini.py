"""Questions to Gemini, and the recorded exchanges that belong to them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from google.genai import types
from pydantic import BaseModel, ConfigDict

from aimanager_server.catalog.catalog import Catalogue
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
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.core.response import Event, Finished, PartCompleted
from aimanager_server.providers.wires.gemini import Gemini
from aimanager_server.providers.wires.gemini.message_encoder import UNSIGNED
from tests.support import paths

FIXTURES = paths.FIXTURES / "gemini"
STREAMED = sorted(path.parent.name for path in FIXTURES.glob("*/stream.sse"))
WHOLE = sorted(path.parent.name for path in FIXTURES.glob("*/response.json"))
CATALOGUE = Catalogue.load()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
KEY = "AIzaSyCanary-7Hq2mZ81xW"
SIGNATURE = b"CrsBAXLI2nz6tHk0pQ/9aF+aVQ1xwZkz2mB4eQ=="
WEATHER = Tool("get_weather", "Weather in a city.", '{"type": "object", "properties": {"city": {"type": "string"}}}')
CALLS = (
    Reasoning("Two cities, so two calls."),
    Text("I'll look up both."),
    ToolCall("fc_rome", "get_weather", '{"city": "Rome"}', SIGNATURE),
    ToolCall("fc_zurich", "get_weather", '{"city": "Z\\u00fcrich"}'),
)
RESULTS = (ToolResult("fc_zurich", "", "9 °C"), ToolResult("fc_rome", "", "No idea.", is_error=True))


def gemini(base_url: str = BASE_URL, **settings: Any) -> Gemini:
    """The dialect over the catalogue that ships."""
    provider = ProviderSettings(wire="gemini", base_url=base_url, **settings)
    return Gemini(provider, Limits(), lambda model: CATALOGUE.find("gemini", model), lambda: NOW)


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str, provider: str = "gemini", model: str = "gemini-4-argon") -> Message:
    said = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Message(Role.ASSISTANT, said, provider, model)


def question(
    *messages: Message, model: str = "gemini-4-argon", options: dict[str, Any] | None = None, **facts: Any
) -> Call:
    """A call; `sampling` and `reasoning` go to its target, all else to it."""
    decided = {name: facts.pop(name) for name in ("sampling", "reasoning") if name in facts}
    facts.setdefault("deadline", 1e9)
    return Call(
        id="call-1",
        caller=Caller("ann"),
        requested_model=model,
        messages=messages or (user("Hi"),),
        targets=(Target("gemini", model, options=options or {}, **decided),),
        **facts,
    )


def sent(call: Call, dialect: Gemini | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((dialect or gemini()).encode(call, KEY).body)
    return body


def contents(*messages: Message, **facts: Any) -> list[dict[str, Any]]:
    """What the turns become."""
    written: list[dict[str, Any]] = sent(question(*messages, **facts))["contents"]
    return written


QUESTIONS: dict[str, Call] = {
    "text": question(user("Capital of Italy?"), system_instruction="Be brief.", streaming=True),
    "parallel_tools": question(
        user("Weather in Rome and Zürich?"),
        assistant(*CALLS),
        user(*RESULTS),
        tools=(WEATHER, Tool("get_time")),
        tool_choice=ToolChoice(ToolMode.AUTO),
        reasoning=ReasoningOptions(Effort.HIGH, include=True),
        streaming=True,
    ),
    "attachments": question(
        user(
            "Compare.",
            Attachment("image/png", "chart.png", data=b"\x89PNG"),
            Attachment("image/jpg", uri="https://example.com/a.jpg"),
            Attachment("application/pdf", "report.pdf", data=b"%PDF-1.7"),
            Attachment("text/csv; charset=utf-8", "rows.csv", data=b"a,b\n\xff"),
            Attachment("application/json", data=b"{}"),
        ),
    ),
    "tool_files": question(
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
    "sampling": question(
        model="gemini-3.8-flash",
        sampling=Sampling(100, 0.0, 0.9, 40, 0, ("END", "STOP")),
        reasoning=ReasoningOptions(Effort.MINIMAL),
    ),
    "budget": question(
        model="gemini-2.5-flash", reasoning=ReasoningOptions(Effort.LOW, budget_tokens=2000, include=True)
    ),
    "named_tool": question(tools=(WEATHER,), tool_choice=ToolChoice(tool_name="get_weather")),
    "strict_tool": question(tools=(Tool("look", strict=True),)),
    "json": question(output_format=JsonObjectFormat()),
    "schema": question(
        output_format=JsonSchemaFormat(
            "city",
            '{"type": "object", "properties": {"city": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}',
        )
    ),
}


class Body(BaseModel):
    """A request as the vendor's own types see it; a field that they do not know is refused."""

    model_config = ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None  # noqa: N815 - the wire's name
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None  # noqa: N815 - the wire's name
    generationConfig: types.GenerationConfig | None = None  # noqa: N815 - the wire's name


def checked(body: dict[str, Any]) -> Any:
    """The body as the vendor's own request types understand it.

    They write levels of thinking in capitals, and bytes with the other two signs of base64.
    """
    seen = Body.model_validate_json(json.dumps(body)).model_dump(mode="json", by_alias=True, exclude_unset=True)
    thinking = seen.get("generationConfig", {}).get("thinkingConfig", {})
    if "thinkingLevel" in thinking:
        thinking["thinkingLevel"] = thinking["thinkingLevel"].lower()
    for part in (part for content in seen["contents"] for part in content["parts"]):
        if part.get("thoughtSignature", UNSIGNED) != UNSIGNED:
            part["thoughtSignature"] = part["thoughtSignature"].translate(str.maketrans("-_", "+/"))
    return seen


def completed(events: list[Event]) -> list[Part]:
    """The parts that were completed, in order."""
    return [event.part for event in events if isinstance(event, PartCompleted)]


def finished(events: list[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def body_of(name: str) -> bytes:
    return (FIXTURES / name / "response.json").read_bytes()


def stream_of(name: str) -> bytes:
    return (FIXTURES / name / "stream.sse").read_bytes()


def streamed(*pieces: bytes) -> list[Event]:
    reader = gemini().reader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.end()


def sse(*payloads: dict[str, Any] | str) -> bytes:
    """A stream of these events."""
    texts = [payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads]
    return b"".join(f"data: {text}\n\n".encode() for text in texts)


def response(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One response of the first candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def usage(**counts: int) -> dict[str, Any]:
    """Counts, by the first word of their names."""
    return {"usageMetadata": {f"{name}TokenCount": count for name, count in counts.items()}}
