"""Recorded responses of the Responses API, compared with what the SDK parses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx2 as httpx
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseOutputItem

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.response import Event, FinishReason, ReasoningDelta, TextDelta, ToolCallDelta
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.wires.responses.provider_state import decode_kind_and_phase
from tests.support.responses import RECORDINGS, read_stream, recorded_body, recorded_stream, responses_wire
from tests.support.wire_cases import completed_parts, finished_event

FINISH_REASONS = {
    "text": FinishReason.STOP,
    "cache_written": FinishReason.STOP,
    "cache_read": FinishReason.STOP,
    "reasoning": FinishReason.STOP,
    "redacted": FinishReason.STOP,
    "parallel_tools": FinishReason.TOOL_CALLS,
    "no_arguments": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
    "half_refusal": FinishReason.REFUSAL,
    "two_texts": FinishReason.STOP,
    "max_tokens": FinishReason.MAX_TOKENS,
    "thought_only": FinishReason.MAX_TOKENS,
    "call_cut": FinishReason.MAX_TOKENS,
    "filtered": FinishReason.CONTENT_FILTER,
    "steered": FinishReason.OTHER,
    "open_weights": FinishReason.STOP,
    "hosted": FinishReason.STOP,
}


def sdk_client(content: bytes, content_type: str) -> AsyncOpenAI:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=content)

    transport = httpx.MockTransport(respond)
    return AsyncOpenAI(api_key="key", http_client=httpx.AsyncClient(transport=transport), max_retries=0)


async def sdk_response(name: str) -> Response:
    async with sdk_client(recorded_body(name), "application/json") as sdk:
        return await sdk.responses.create(model="m", input="Hi")


async def sdk_stream(name: str) -> tuple[list[ResponseOutputItem], Response, dict[str, str]]:
    """Return the completed items, the final response, and the joined deltas by content type."""
    done: list[ResponseOutputItem] = []
    last: Response | None = None
    deltas = {"text": "", "reasoning": "", "arguments": ""}
    async with sdk_client(recorded_stream(name), "text/event-stream") as sdk:
        async for event in await sdk.responses.create(model="m", input="Hi", stream=True):
            if event.type == "response.output_item.done":
                done.append(event.item)
            elif event.type in ("response.output_text.delta", "response.refusal.delta"):
                deltas["text"] += event.delta
            elif event.type in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
                deltas["reasoning"] += event.delta
            elif event.type == "response.function_call_arguments.delta":
                deltas["arguments"] += event.delta
            elif event.type in ("response.completed", "response.incomplete"):
                last = event.response
    assert last is not None
    return done, last, deltas


def sdk_parts(output: Iterable[ResponseOutputItem]) -> list[tuple[Any, ...]]:
    """Return the content of the SDK's items in a comparable form."""
    found: list[tuple[Any, ...]] = []
    for item in output:
        if item.type == "message":
            for content in item.content:
                text = content.text if content.type == "output_text" else content.refusal
                found.append((content.type, text, item.phase or ""))
        elif item.type == "reasoning":
            paragraphs = [paragraph.text for paragraph in (*(item.content or ()), *item.summary)]
            found.append(("reasoning", "\n\n".join(paragraphs), item.to_dict()))
        elif item.type == "function_call":
            found.append(("function_call", item.call_id, item.name, item.arguments or "{}"))
    return found


def parts(events: list[Event]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for part in completed_parts(events):
        if isinstance(part, Text):
            kind, phase = decode_kind_and_phase(part.provider_state)
            found.append((kind, part.text, phase))
        elif isinstance(part, Reasoning):
            assert part.redacted == (not part.text)
            found.append(("reasoning", part.text, json.loads(part.provider_state)))
        else:
            assert isinstance(part, ToolCall)
            found.append(("function_call", part.id, part.name, part.arguments_json))
    return found


def sdk_finish(response: Response) -> tuple[Any, ...]:
    usage = response.usage
    assert usage is not None
    cached = usage.input_tokens_details
    return (
        response.incomplete_details.reason if response.incomplete_details else response.status,
        Usage(
            usage.input_tokens,
            usage.output_tokens,
            cached.cached_tokens,
            cached.cache_write_tokens,
            usage.output_tokens_details.reasoning_tokens,
            UsageSource.REPORTED,
            written.ttl_12h_tokens if (written := cached.cache_write_tokens_details) else 0,
        ),
    )


def finish(events: list[Event]) -> tuple[Any, ...]:
    finished = finished_event(events)
    return finished.provider_reason, finished.usage


def deltas_of(events: list[Event]) -> dict[str, str]:
    return {
        "text": "".join(event.text for event in events if isinstance(event, TextDelta)),
        "reasoning": "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        "arguments": "".join(event.arguments_json for event in events if isinstance(event, ToolCallDelta)),
    }


def without_separators(deltas: dict[str, str]) -> dict[str, str]:
    """Return the deltas without the blank line that the wire adds between paragraphs of reasoning."""
    return {kind: text.replace("\n\n", "") for kind, text in deltas.items()}


def test_finish_reasons_are_mapped() -> None:
    reasons = {name: finished_event(responses_wire().decode(recorded_body(name))).reason for name in RECORDINGS}

    assert reasons == FINISH_REASONS


async def test_responses_are_parsed_as_the_sdk_parses_them() -> None:
    expected = {name: await sdk_response(name) for name in RECORDINGS}

    decoded = {name: responses_wire().decode(recorded_body(name)) for name in RECORDINGS}

    assert {name: (parts(events), finish(events)) for name, events in decoded.items()} == {
        name: (sdk_parts(response.output), sdk_finish(response)) for name, response in expected.items()
    }


async def test_streams_are_parsed_as_the_sdk_parses_them() -> None:
    expected = {name: await sdk_stream(name) for name in RECORDINGS}

    streamed = {name: read_stream(recorded_stream(name)) for name in RECORDINGS}

    assert {
        name: (parts(events), parts(events), finish(events), without_separators(deltas_of(events)))
        for name, events in streamed.items()
    } == {
        name: (sdk_parts(done), sdk_parts(response.output), sdk_finish(response), without_separators(deltas))
        for name, (done, response, deltas) in expected.items()
    }


def test_deltas_agree_between_responses_and_streams() -> None:
    decoded = {name: deltas_of(responses_wire().decode(recorded_body(name))) for name in RECORDINGS}

    assert decoded == {name: deltas_of(read_stream(recorded_stream(name))) for name in RECORDINGS}


def test_provider_state_is_the_unchanged_reasoning_item() -> None:
    item = next(item for item in json.loads(recorded_body("reasoning"))["output"] if item["type"] == "reasoning")

    part = completed_parts(read_stream(recorded_stream("reasoning")))[0]

    assert isinstance(part, Reasoning)
    assert part.provider_state == json.dumps(item, separators=(",", ":")).encode()
    assert part.text.count("\n\n**Checking**") == 1
