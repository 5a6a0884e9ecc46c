"""Build calls on the Responses API, and read its recorded exchanges."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

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
from aimanager_server.core.response import Event
from aimanager_server.providers.wires.responses import ResponsesWire
from tests.support.vendor_sdks import validated_by
from tests.support.wire_cases import WireCases, text_parts, user

CATALOG = Catalog.load()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
MODEL = "gpt-6.2-sol"

CLOSED = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}'

REASONING_ITEM: dict[str, Any] = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Two cities, so two calls."}],
    "encrypted_content": "gAAAAABo+/9=",
    "status": None,
}
WEATHER = Tool(
    "get_weather", "Weather in a city.", '{"type":"object","properties":{"city":{"type":"string"}}}', strict=True
)


def encode_state(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


ASSISTANT_PARTS: tuple[Part, ...] = (
    Reasoning("Two cities, so two calls.", provider_state=encode_state(REASONING_ITEM)),
    Text("I'll look up both.", encode_state({"type": "output_text", "phase": "commentary"})),
    ToolCall("call_Rm1", "get_weather", '{"city":"Rome"}'),
    Reasoning("", redacted=True, provider_state=encode_state({**REASONING_ITEM, "id": "rs_2", "summary": []})),
    ToolCall("call_Zh2", "get_weather", '{"city":"Z\\u00fcrich"}'),
)


def responses_wire(base_url: str = "https://api.openai.com/v1", **settings: Any) -> ResponsesWire:
    """Return the wire with the built-in catalog."""
    provider = ProviderSettings(wire="responses", base_url=base_url, **{"prompt_cache": False, **settings})
    return ResponsesWire(provider, Limits(), lambda model: CATALOG.find("openai", model), lambda: NOW)


def assistant(*parts: Part | str, provider: str = "openai", model: str = MODEL) -> Message:
    return Message(Role.ASSISTANT, text_parts(parts), provider, model)


def make_attempt(*messages: Message, model: str = MODEL, **fields: Any) -> Attempt[Any]:
    """Return an attempt at a call. `sampling`, `reasoning` and `options` apply to its target."""
    target_fields = {name: fields.pop(name) for name in ("sampling", "reasoning", "options") if name in fields}
    call = Call(
        id="call-1",
        caller=Caller("ann"),
        requested_model=model,
        messages=messages or (user("Hi"),),
        targets=(Target("openai", model, **target_fields),),
        deadline=fields.pop("deadline", 1e9),
        **fields,
    )
    return Attempt.of(call, call.target, 0.0, is_streamed=call.streaming)


def sent_body(attempt: Attempt[Any], wire: ResponsesWire | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((wire or responses_wire()).encode(attempt, "sk-canary").body)
    return body


def sent_input(*messages: Message, **fields: Any) -> list[dict[str, Any]]:
    """Return the encoded input items of these messages."""
    items: list[dict[str, Any]] = sent_body(make_attempt(*messages, **fields))["input"]
    return items


RECORDED_ATTEMPTS: dict[str, Attempt[Any]] = {
    "text": make_attempt(user("Capital of Italy?"), system_instruction="Be brief.", streaming=True),
    "parallel_tools": make_attempt(
        user("Weather in Rome and Zürich?"),
        assistant(*ASSISTANT_PARTS),
        user("Quick, please.", ToolResult("call_Zh2", "get_weather", "9 °C")),
        user(
            ToolResult(
                "call_Rm1",
                "get_weather",
                "See the map.",
                attachments=(Attachment("image/png", data=b"\x89PNG"), Attachment("application/pdf", data=b"%PDF")),
                is_error=True,
            )
        ),
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
    "json": make_attempt(user("List three cities."), output_format=JsonObjectFormat()),
    "schema": make_attempt(
        user("A city."),
        output_format=JsonSchemaFormat("city", CLOSED, strict=True),
        options={"text": {"verbosity": "low"}, "metadata": {"team": "a"}},
    ),
    "sampling": make_attempt(
        user("Hi"),
        model="gpt-5.5",
        sampling=Sampling(max_output_tokens=100, temperature=0.0, top_p=0.9, top_k=4, seed=7, stop_sequences=("END",)),
        reasoning=ReasoningOptions(Effort.NONE),
    ),
}


def decode_response(**response: Any) -> list[Event]:
    """Decode an unstreamed response with these fields."""
    return responses_wire().decode(json.dumps({"status": "completed", "output": [], **response}).encode())


def item_added(index: int | None, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": item} | ({} if index is None else {"output_index": index})


def item_done(index: int | None, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item} | ({} if index is None else {"output_index": index})


def delta_event(kind: str, fragment: str, index: int | None = 0, **more: Any) -> dict[str, Any]:
    payload = {"type": f"response.{kind}.delta", "delta": fragment, **more}
    return payload if index is None else {**payload, "output_index": index}


def terminal_event(status: str = "completed", **response: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"status": status, **response}}


def validated_by_sdk(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body as the request types of the SDK parse it."""
    params: Any = ResponseCreateParamsStreaming if body.get("stream") else ResponseCreateParamsNonStreaming
    parsed: dict[str, Any] = validated_by(params, body)
    return parsed


CASES = WireCases("responses", responses_wire())
RECORDINGS = CASES.names("stream.sse")
recorded_body, recorded_stream, read_stream = CASES.body, CASES.stream, CASES.read
