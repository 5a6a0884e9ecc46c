"""What the Responses API answers: our reading against its own SDK's, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx2 as httpx
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseOutputItem

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.response import Event, FinishReason, ReasoningDelta, TextDelta, ToolCallDelta
from aimanager_server.providers.wires.responses.provider_state import kind_and_phase
from tests.support.responses import ANSWERS, body_of, completed, finished, responses, stream_of, streamed

FINISHES = {
    "text": FinishReason.STOP,
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


def client(content: bytes, content_type: str) -> AsyncOpenAI:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=content)

    transport = httpx.MockTransport(respond)
    return AsyncOpenAI(api_key="key", http_client=httpx.AsyncClient(transport=transport), max_retries=0)


async def whole(name: str) -> Response:
    async with client(body_of(name), "application/json") as sdk:
        return await sdk.responses.create(model="m", input="Hi")


async def collected(name: str) -> tuple[list[ResponseOutputItem], Response, dict[str, str]]:
    """The items as the SDK saw them done, the answer it ended with, and its deltas joined by what they are of."""
    done: list[ResponseOutputItem] = []
    last: Response | None = None
    deltas = {"text": "", "reasoning": "", "arguments": ""}
    async with client(stream_of(name), "text/event-stream") as sdk:
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


def said_by(output: Iterable[ResponseOutputItem]) -> list[tuple[Any, ...]]:
    """What the SDK understood of the items that say something."""
    found: list[tuple[Any, ...]] = []
    for item in output:
        if item.type == "message":
            for content in item.content:
                text = content.text if content.type == "output_text" else content.refusal
                found.append((content.type, text, item.phase or ""))
        elif item.type == "reasoning":
            shown = [each.text for each in (*(item.content or ()), *item.summary)]
            found.append(("reasoning", "\n\n".join(shown), item.to_dict()))
        elif item.type == "function_call":
            found.append(("function_call", item.call_id, item.name, item.arguments or "{}"))
    return found


def said_by_us(events: list[Event]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for part in completed(events):
        if isinstance(part, Text):
            kind, phase = kind_and_phase(part.provider_state)
            found.append((kind, part.text, phase))
        elif isinstance(part, Reasoning):
            assert part.redacted == (not part.text)
            found.append(("reasoning", part.text, json.loads(part.provider_state)))
        else:
            assert isinstance(part, ToolCall)
            found.append(("function_call", part.id, part.name, part.arguments_json))
    return found


def end_of(answer: Response) -> dict[str, Any]:
    usage = answer.usage
    assert usage is not None
    return {
        "finish": answer.incomplete_details.reason if answer.incomplete_details else answer.status,
        "totals": (usage.input_tokens, usage.output_tokens),
        "cached": (usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens),
        "reasoning": usage.output_tokens_details.reasoning_tokens,
    }


def end_of_ours(events: list[Event]) -> dict[str, Any]:
    last = finished(events)
    return {
        "finish": last.provider_reason,
        "totals": (last.usage.input_tokens, last.usage.output_tokens),
        "cached": (last.usage.cache_read_tokens, last.usage.cache_write_tokens),
        "reasoning": last.usage.reasoning_tokens,
    }


def deltas_of(events: list[Event]) -> dict[str, str]:
    return {
        "text": "".join(event.text for event in events if isinstance(event, TextDelta)),
        "reasoning": "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        "arguments": "".join(event.arguments_json for event in events if isinstance(event, ToolCallDelta)),
    }


def test_every_recorded_answer_has_its_finish() -> None:
    assert sorted(FINISHES) == ANSWERS


@pytest.mark.parametrize("name", ANSWERS)
async def test_we_read_whole_answers_as_the_sdk_does(name: str) -> None:
    theirs = await whole(name)

    ours = responses().decode(body_of(name))

    assert said_by_us(ours) == said_by(theirs.output)
    assert end_of_ours(ours) == end_of(theirs)
    assert finished(ours).reason is FINISHES[name]


@pytest.mark.parametrize("name", ANSWERS)
async def test_we_read_streams_as_the_sdk_does(name: str) -> None:
    done, theirs, deltas = await collected(name)

    ours = streamed(stream_of(name))

    assert said_by_us(ours) == said_by(done) == said_by(theirs.output)
    assert end_of_ours(ours) == end_of(theirs)
    # Between the paragraphs of reasoning we put a blank line, which belongs to none of its deltas.
    assert {kind: text.replace("\n\n", "") for kind, text in deltas_of(ours).items()} == {
        kind: text.replace("\n\n", "") for kind, text in deltas.items()
    }


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_means_the_same_whole_and_streamed(name: str) -> None:
    whole, stream = responses().decode(body_of(name)), streamed(stream_of(name))

    assert completed(whole) == completed(stream)
    assert finished(whole) == finished(stream)
    assert deltas_of(whole) == deltas_of(stream)


@pytest.mark.parametrize("name", ANSWERS)
def test_deltas_join_to_the_parts_they_belong_to(name: str) -> None:
    events = streamed(stream_of(name))
    joined: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta):
            joined[event.index] = joined.get(event.index, "") + event.text
        elif isinstance(event, ToolCallDelta):
            joined[event.index] = joined.get(event.index, "") + event.arguments_json

    for index, part in enumerate(completed(events)):
        text = part.arguments_json if isinstance(part, ToolCall) else getattr(part, "text", "")
        assert joined.get(index, "") in (text, "" if text == "{}" else text)


def test_the_reasoning_that_is_kept_is_the_item_as_it_came() -> None:
    item = next(item for item in json.loads(body_of("reasoning"))["output"] if item["type"] == "reasoning")

    part = completed(streamed(stream_of("reasoning")))[0]

    assert isinstance(part, Reasoning)
    assert part.provider_state == json.dumps(item, separators=(",", ":")).encode()
    assert part.text.count("\n\n**Checking**") == 1
