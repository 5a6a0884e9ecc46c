"""Questions on the Responses wire, and the recorded exchanges that belong to them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

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
from aimanager_server.providers.wires.responses import Responses
from tests.support import paths
from tests.support.vendor_sdks import seen_by

FIXTURES = paths.FIXTURES / "responses"
ANSWERS = sorted(path.parent.name for path in FIXTURES.glob("*/stream.sse"))
CATALOGUE = Catalogue.load()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
MODEL = "gpt-6.2-sol"

CLOSED = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}'

THOUGHT: dict[str, Any] = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Two cities, so two calls."}],
    "encrypted_content": "gAAAAABo+/9=",
    "status": None,
}
WEATHER = Tool(
    "get_weather", "Weather in a city.", '{"type":"object","properties":{"city":{"type":"string"}}}', strict=True
)


def state(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


CALLS: tuple[Part, ...] = (
    Reasoning("Two cities, so two calls.", provider_state=state(THOUGHT)),
    Text("I'll look up both.", state({"type": "output_text", "phase": "commentary"})),
    ToolCall("call_Rm1", "get_weather", '{"city":"Rome"}'),
    Reasoning("", redacted=True, provider_state=state({**THOUGHT, "id": "rs_2", "summary": []})),
    ToolCall("call_Zh2", "get_weather", '{"city":"Z\\u00fcrich"}'),
)


def responses(base_url: str = "https://api.openai.com/v1", **settings: Any) -> Responses:
    """The dialect over the catalogue that ships."""
    provider = ProviderSettings(wire="responses", base_url=base_url, **settings)
    return Responses(provider, Limits(), lambda model: CATALOGUE.find("openai", model), lambda: NOW)


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str, provider: str = "openai", model: str = MODEL) -> Message:
    said = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Message(Role.ASSISTANT, said, provider, model)


def question(*messages: Message, model: str = MODEL, **facts: Any) -> Call:
    """A call; `sampling`, `reasoning` and `options` go to its target."""
    decided = {name: facts.pop(name) for name in ("sampling", "reasoning", "options") if name in facts}
    return Call(
        id="call-1",
        caller=Caller("ann"),
        requested_model=model,
        messages=messages or (user("Hi"),),
        targets=(Target("openai", model, **decided),),
        deadline=facts.pop("deadline", 1e9),
        **facts,
    )


def sent(call: Call, dialect: Responses | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((dialect or responses()).encode(call, "sk-canary").body)
    return body


def items(*messages: Message, **facts: Any) -> list[dict[str, Any]]:
    """The input of a question of these turns."""
    found: list[dict[str, Any]] = sent(question(*messages, **facts))["input"]
    return found


QUESTIONS: dict[str, Call] = {
    "text": question(user("Capital of Italy?"), system_instruction="Be brief.", streaming=True),
    "parallel_tools": question(
        user("Weather in Rome and Zürich?"),
        assistant(*CALLS),
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
    "json": question(user("List three cities."), output_format=JsonObjectFormat()),
    "schema": question(
        user("A city."),
        output_format=JsonSchemaFormat("city", CLOSED, strict=True),
        options={"text": {"verbosity": "low"}, "metadata": {"team": "a"}},
    ),
    "sampling": question(
        user("Hi"),
        model="gpt-5.5",
        sampling=Sampling(max_output_tokens=100, temperature=0.0, top_p=0.9, top_k=4, seed=7, stop_sequences=("END",)),
        reasoning=ReasoningOptions(Effort.NONE),
    ),
}


def body_of(name: str) -> bytes:
    return (FIXTURES / name / "response.json").read_bytes()


def stream_of(name: str) -> bytes:
    return (FIXTURES / name / "stream.sse").read_bytes()


def streamed(*pieces: bytes) -> list[Event]:
    reader = responses().reader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.end()


def decoded(**response: Any) -> list[Event]:
    """What a whole answer with these fields says."""
    return responses().decode(json.dumps({"status": "completed", "output": [], **response}).encode())


def sse(*payloads: dict[str, Any] | str) -> bytes:
    """A stream without event names, whose payloads say what they are."""
    texts = [payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads]
    return b"".join(f"data: {text}\n\n".encode() for text in texts)


def added(index: int | None, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": item} | ({} if index is None else {"output_index": index})


def done(index: int | None, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item} | ({} if index is None else {"output_index": index})


def delta(kind: str, fragment: str, index: int | None = 0, **more: Any) -> dict[str, Any]:
    payload = {"type": f"response.{kind}.delta", "delta": fragment, **more}
    return payload if index is None else {**payload, "output_index": index}


def end(status: str = "completed", **response: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"status": status, **response}}


def completed(events: list[Event]) -> list[Part]:
    """The parts that were completed, in order."""
    return [event.part for event in events if isinstance(event, PartCompleted)]


def finished(events: list[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def checked(body: dict[str, Any]) -> dict[str, Any]:
    """The body as the vendor's own request types understand it.

    They demand an id and a status of an assistant's message, which the API does not, and which one that was not stored
    does not have: they are lent to it.
    """
    lent = {"id": "msg_1", "status": "completed"}
    asked = [{**item, **lent} if item.get("role") == "assistant" else item for item in body["input"]]
    params: Any = ResponseCreateParamsStreaming if body.get("stream") else ResponseCreateParamsNonStreaming
    seen: dict[str, Any] = seen_by(params, {**body, "input": asked})
    for item in seen["input"]:
        if item.get("role") == "assistant":
            assert {name: item.pop(name) for name in lent} == lent
    return seen
