"""Known pitfalls of gateways in parsing responses.

The tests of pitfalls 1 to 25 are numbered; those of requests and of errors are in the neighboring files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.cost import cost
from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.response import Event, FinishReason, PartCompleted
from aimanager_server.core.usage import Usage, UsageSource
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import responses as responses_api
from tests.support.chat_completions import LOOK_CALLS, VENDORS, chat_wire, chunk, read_stream, response_body
from tests.support.wire_cases import completed_parts, finished_event, sse

CATALOG = Catalog.load()
DONE = b"data: [DONE]\n\n"
DecodeUsage = Callable[[dict[str, Any]], list[Event]]


def call(index: int | None, call_id: str | None, arguments: str | None, name: str | None = "look") -> dict[str, Any]:
    position = {} if index is None else {"index": index}
    return {**position, "id": call_id, "function": {"name": name, "arguments": arguments}}


def read_calls(*calls: dict[str, Any], name: str = "chat_completions") -> list[Event]:
    return read_stream(b"".join(chunk(tool_calls=[entry]) for entry in calls) + DONE, name)


def test_every_pitfall_has_a_test() -> None:
    tests = "".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_pitfalls*.py"))
    numbers = [int(number) for number in re.findall(r"^(?:async )?def test_pitfall_(\d\d)_", tests, re.MULTILINE)]

    assert sorted(numbers) == list(range(1, 26))


PARALLEL_CALLS = {
    "index always zero": [call(0, "x1", '{"at":1}'), call(0, "x2", '{"at":2}')],
    "indices from one": [call(1, "x1", '{"at":1}'), call(2, "x2", '{"at":2}')],
    "interleaved by id": [
        call(None, "x1", '{"at"'),
        call(None, "x2", '{"at"'),
        call(None, "x1", ":1}"),
        call(None, "x2", ":2}"),
    ],
    "continued without id": [
        call(None, "x1", '{"at"'),
        call(None, None, ":1}", None),
        call(None, "x2", '{"at":2}'),
    ],
    "interleaved by index": [
        call(0, "x1", '{"at"'),
        call(1, "x2", '{"at"'),
        call(0, None, ":1}", None),
        call(1, None, ":2}", None),
    ],
}


def test_pitfall_01_parallel_tool_calls_are_separated_by_more_than_the_index() -> None:
    wrong = [
        (vendor, case)
        for vendor in VENDORS
        for case, calls in PARALLEL_CALLS.items()
        if completed_parts(read_calls(*calls, name=vendor)) != LOOK_CALLS
    ]

    assert wrong == []


def test_pitfall_02_first_name_and_id_are_kept_and_arguments_appended() -> None:
    fragments = (call(0, "x1", None), call(0, "", "", ""), call(0, "x1", '{"at"'), call(0, None, ":1}", None))

    parts = {name: completed_parts(read_calls(*fragments, call(1, "x2", ""), name=name)) for name in VENDORS}

    assert parts == dict.fromkeys(VENDORS, (LOOK_CALLS[0], ToolCall("x2", "look", "{}")))


def test_pitfall_03_anthropic_counts_replace_each_other() -> None:
    started = anthropic_api.message_start(input_tokens=10, output_tokens=1, cache_read_input_tokens=5)
    continued = anthropic_api.message_delta(output_tokens=20)
    corrected = anthropic_api.message_delta("end_turn", input_tokens=12, output_tokens=30)

    events = anthropic_api.read_stream(sse(started, continued, corrected, anthropic_api.MESSAGE_STOP))

    assert finished_event(events).usage == Usage(12 + 5, 30, 5, source=UsageSource.REPORTED)


def anthropic_usage(usage: dict[str, Any] | None) -> list[Event]:
    message = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    return anthropic_api.anthropic_wire().decode(json.dumps({**message, "usage": usage}).encode())


def gemini_usage(usage: dict[str, Any] | None) -> list[Event]:
    response = gemini_api.response({"text": "Hi"}, finish="STOP", usageMetadata=usage)
    return gemini_api.gemini_wire().decode(json.dumps(response).encode())


def responses_usage(usage: dict[str, Any] | None) -> list[Event]:
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    return responses_api.decode_response(output=[message], usage=usage)


def chat_usage(name: str) -> Callable[[dict[str, Any] | None], list[Event]]:
    return lambda usage: chat_wire(name).decode(response_body({"content": "Hi"}, usage=usage))


@pytest.mark.parametrize(
    ("decode", "usage"),
    [
        (anthropic_usage, {"input_tokens": 70, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 10}),
        (
            responses_usage,
            {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10}},
        ),
        (
            chat_usage("openai"),
            {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10}},
        ),
    ],
    ids=["anthropic", "responses", "openai"],
)
def test_pitfall_04_cached_tokens_are_input_and_priced_once(decode: DecodeUsage, usage: dict[str, Any]) -> None:
    sonnet = CATALOG.find("claude", "claude-sonnet-5-5")  # 2 / 10 / 0.10 / 2.5
    deepseek = chat_usage("deepseek")({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5})
    gemini = gemini_usage({"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 0})

    reported = finished_event(decode({**usage, "output_tokens": 1, "completion_tokens": 1})).usage

    assert reported == Usage(100, 1, 20, 10, source=UsageSource.REPORTED)
    assert sonnet is not None
    price = cost(sonnet, reported, anthropic_api.NOW)
    assert price is not None
    assert price.input_nanos == 70 * 2_000 + 20 * 100 + 10 * 2_500
    assert finished_event(deepseek).usage == finished_event(gemini).usage == Usage(9, 0, 4, source=UsageSource.REPORTED)


@pytest.mark.parametrize(
    ("decode", "usage"),
    [
        (anthropic_usage, {"input_tokens": 5, "output_tokens": 30, "output_tokens_details": {"thinking_tokens": 20}}),
        (responses_usage, {"input_tokens": 5, "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 20}}),
        (gemini_usage, {"promptTokenCount": 5, "candidatesTokenCount": 10, "thoughtsTokenCount": 20}),
        *(
            (chat_usage(name), {"completion_tokens": output_tokens, "total_tokens": 35})
            for name, output_tokens in (("openai", 30), ("deepseek", 30), ("mistral", 30), ("xai", 10))
        ),
    ],
    ids=["anthropic", "responses", "gemini", "openai", "deepseek", "mistral", "xai"],
)
def test_pitfall_05_reasoning_tokens_are_counted_once(decode: DecodeUsage, usage: dict[str, Any]) -> None:
    chat = {"prompt_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 20}}

    reported = finished_event(decode({**chat, **usage} if "completion_tokens" in usage else usage)).usage

    assert reported == Usage(5, 30, reasoning_tokens=20, source=UsageSource.REPORTED)


@pytest.mark.parametrize("no_choices", [[], None])
def test_pitfall_06_chunk_may_have_no_choices(no_choices: list[Any] | None) -> None:
    filters = {"choices": no_choices, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": no_choices, "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    before, end, after = (f"data: {json.dumps(payload)}\n\n".encode() for payload in (filters, finish, usage))

    responses = {name: read_stream(before + chunk(content="Hi") + end + after + DONE, name) for name in VENDORS}

    assert {name: completed_parts(events) for name, events in responses.items()} == dict.fromkeys(
        VENDORS, (Text("Hi"),)
    )
    assert {finished_event(events).usage for events in responses.values()} == {Usage(5, 2, source=UsageSource.REPORTED)}


def test_pitfall_07_missing_usage_is_not_zero() -> None:
    opus = CATALOG.find("claude", "claude-opus-5-5")
    interrupted = chat_wire().stream_reader()
    interrupted.feed(chunk(content="Hi"))

    usages = [
        finished_event(decode(None)).usage
        for decode in (anthropic_usage, gemini_usage, responses_usage, *map(chat_usage, VENDORS))
    ]

    assert {usage.source for usage in (*usages, interrupted.usage)} == {UsageSource.MISSING}
    assert opus is not None
    assert [cost(opus, usage, anthropic_api.NOW) for usage in usages] == [None] * len(usages)


REFUSALS: list[tuple[Callable[[], list[Event]], FinishReason]] = [
    (lambda: chat_wire("openai").decode(response_body({"content": None, "refusal": "No."})), FinishReason.REFUSAL),
    (
        lambda: responses_api.decode_response(
            output=[{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]
        ),
        FinishReason.REFUSAL,
    ),
    (
        lambda: anthropic_api.anthropic_wire().decode(
            b'{"type":"message","content":[],"stop_reason":"refusal","stop_details":{"explanation":"No."}}'
        ),
        FinishReason.REFUSAL,
    ),
    (
        lambda: chat_wire("openai").decode(response_body({"content": "No."}, "content_filter")),
        FinishReason.CONTENT_FILTER,
    ),
    (
        lambda: gemini_api.gemini_wire().decode(
            json.dumps(gemini_api.response({"text": "No."}, finish="SAFETY")).encode()
        ),
        FinishReason.CONTENT_FILTER,
    ),
]


@pytest.mark.parametrize(("decode", "reason"), REFUSALS, ids=["openai", "responses", "anthropic", "filter", "gemini"])
def test_pitfall_18_refusal_sets_the_finish_reason_and_keeps_its_text(
    decode: Callable[[], list[Event]], reason: FinishReason
) -> None:
    events = decode()

    assert finished_event(events).reason is reason
    assert [part.text for part in completed_parts(events) if isinstance(part, Text)] == ["No."]


CALL_MESSAGE: dict[str, object] = {
    "tool_calls": [{"id": "x1", "function": {"name": "look", "arguments": "{}"}}],
    "content": None,
}
BLOCK = {"type": "tool_use", "id": "x1", "name": "look", "input": {}}
FUNCTION = {"functionCall": {"id": "x1", "name": "look", "args": {}}}


def test_pitfall_19_content_determines_tool_calls_and_unknown_reasons_are_kept() -> None:
    anthropic_body = json.dumps({"type": "message", "content": [BLOCK], "stop_reason": "end_turn"}).encode()
    gemini_body = json.dumps(gemini_api.response(FUNCTION, finish="STOP")).encode()

    chat = chat_wire().decode(response_body(CALL_MESSAGE, "stop"))
    anthropic = anthropic_api.anthropic_wire().decode(anthropic_body)
    gemini = gemini_api.gemini_wire().decode(gemini_body)
    unknown = finished_event(chat_wire().decode(response_body({"content": "Hi"}, "tomorrow")))

    assert [finished_event(events).reason for events in (chat, anthropic, gemini)] == [FinishReason.TOOL_CALLS] * 3
    assert (unknown.reason, unknown.provider_reason) == (FinishReason.OTHER, "tomorrow")
    assert finished_event(chat_wire().decode(response_body({"content": "Hi"}, None))).reason is FinishReason.STOP


def test_empty_reasoning_keeps_its_index_in_an_unstreamed_response() -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": "Eq9+/w=="}
    message = {"type": "message", "content": [thinking, {"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}

    events = anthropic_api.anthropic_wire().decode(json.dumps(message).encode())

    assert completed_parts(events) == (Reasoning("", provider_state=b"Eq9+/w=="), Text("Hi"))
    assert [event.index for event in events if isinstance(event, PartCompleted)] == [0, 1]
