"""What gateways get wrong when they read answers: how each provider's own words are put into ours.

Pitfalls have numbers, 1 to 25, in the names of the tests; those of requests and of faults are in the files beside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.catalog.pricing import cost
from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.response import Event, FinishReason, PartCompleted
from aimanager_server.core.usage import Usage, UsageSource
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import responses as responses_api
from tests.support.chat_completions import DIALECTS, dialect, finished_of, parts_of, read_all
from tests.support.chat_completions_answers import LOOK, body, chunk

CATALOGUE = Catalogue.load()
DONE = b"data: [DONE]\n\n"
Counting = Callable[[dict[str, Any]], list[Event]]


def call(index: int | None, call_id: str | None, arguments: str | None, name: str | None = "look") -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {**place, "id": call_id, "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], name: str = "chat_completions") -> list[Event]:
    return read_all(b"".join(chunk(tool_calls=[one]) for one in calls) + DONE, name)


def test_every_pitfall_has_its_test() -> None:
    tests = "".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("test_pitfalls*.py"))
    numbers = [int(number) for number in re.findall(r"^(?:async )?def test_pitfall_(\d\d)_", tests, re.MULTILINE)]

    assert sorted(numbers) == list(range(1, 26))


@pytest.mark.parametrize("provider", DIALECTS)
@pytest.mark.parametrize(
    "calls",
    [
        [call(0, "x1", '{"at":1}'), call(0, "x2", '{"at":2}')],
        [call(1, "x1", '{"at":1}'), call(2, "x2", '{"at":2}')],
        [call(None, "x1", '{"at"'), call(None, "x2", '{"at"'), call(None, "x1", ":1}"), call(None, "x2", ":2}")],
        [call(None, "x1", '{"at"'), call(None, None, ":1}", None), call(None, "x2", '{"at":2}')],
        [call(0, "x1", '{"at"'), call(1, "x2", '{"at"'), call(0, None, ":1}", None), call(1, None, ":2}", None)],
    ],
    ids=["always zero", "from one", "by id", "the last one", "interleaved"],
)
def test_pitfall_01_parallel_calls_are_not_told_apart_by_index_alone(calls: list[Any], provider: str) -> None:
    assert parts_of(calling(*calls, name=provider)) == LOOK


@pytest.mark.parametrize("provider", DIALECTS)
def test_pitfall_02_names_and_ids_are_set_once_and_arguments_always_appended(provider: str) -> None:
    pieces = (call(0, "x1", None), call(0, "", "", ""), call(0, "x1", '{"at"'), call(0, None, ":1}", None))

    events = calling(*pieces, call(1, "x2", ""), name=provider)

    assert parts_of(events) == (LOOK[0], ToolCall("x2", "look", "{}"))


def test_pitfall_03_claudes_counts_replace_each_other_and_are_never_added() -> None:
    begun = anthropic_api.start(input_tokens=10, output_tokens=1, cache_read_input_tokens=5)
    further = anthropic_api.message_delta(output_tokens=20)
    corrected = anthropic_api.message_delta("end_turn", input_tokens=12, output_tokens=30)

    events = anthropic_api.streamed(anthropic_api.sse(begun, further, corrected, anthropic_api.END))

    assert finished_of(events).usage == Usage(12 + 5, 30, 5, source=UsageSource.REPORTED)


def claudes(usage: dict[str, Any] | None) -> list[Event]:
    message = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    return anthropic_api.claude().decode(json.dumps({**message, "usage": usage}).encode())


def geminis(usage: dict[str, Any] | None) -> list[Event]:
    response = gemini_api.response({"text": "Hi"}, finish="STOP", usageMetadata=usage)
    return gemini_api.gemini().decode(json.dumps(response).encode())


def responses(usage: dict[str, Any] | None) -> list[Event]:
    said = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    return responses_api.decoded(output=[said], usage=usage)


def chats(name: str) -> Callable[[dict[str, Any] | None], list[Event]]:
    return lambda usage: dialect(name).decode(body({"content": "Hi"}, usage=usage))


@pytest.mark.parametrize(
    ("read", "usage"),
    [
        (claudes, {"input_tokens": 70, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 10}),
        (
            responses,
            {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10}},
        ),
        (
            chats("openai"),
            {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10}},
        ),
    ],
    ids=["claude", "responses", "openai"],
)
def test_pitfall_04_cached_tokens_are_part_of_the_input_and_priced_once(read: Counting, usage: dict[str, Any]) -> None:
    sonnet = CATALOGUE.find("claude", "claude-sonnet-5-5")  # 2 / 10 / 0.10 / 2.5
    deepseeks = chats("deepseek")({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5})
    googles = geminis({"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 0})

    counted = finished_of(read({**usage, "output_tokens": 1, "completion_tokens": 1})).usage

    assert counted == Usage(100, 1, 20, 10, source=UsageSource.REPORTED)
    assert sonnet is not None
    priced = cost(sonnet, counted, anthropic_api.NOW)
    assert priced is not None
    assert priced.input_nanos == 70 * 2_000 + 20 * 100 + 10 * 2_500
    assert finished_of(deepseeks).usage == finished_of(googles).usage == Usage(9, 0, 4, source=UsageSource.REPORTED)


@pytest.mark.parametrize(
    ("read", "usage"),
    [
        (claudes, {"input_tokens": 5, "output_tokens": 30, "output_tokens_details": {"thinking_tokens": 20}}),
        (responses, {"input_tokens": 5, "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 20}}),
        (geminis, {"promptTokenCount": 5, "candidatesTokenCount": 10, "thoughtsTokenCount": 20}),
        *(
            (chats(name), {"completion_tokens": written, "total_tokens": 35})
            for name, written in (("openai", 30), ("deepseek", 30), ("mistral", 30), ("xai", 10))
        ),
    ],
    ids=["claude", "responses", "gemini", "openai", "deepseek", "mistral", "xai"],
)
def test_pitfall_05_reasoning_is_counted_once_wherever_it_is_counted(read: Counting, usage: dict[str, Any]) -> None:
    chat = {"prompt_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 20}}

    counted = finished_of(read({**chat, **usage} if "completion_tokens" in usage else usage)).usage

    assert counted == Usage(5, 30, reasoning_tokens=20, source=UsageSource.REPORTED)


@pytest.mark.parametrize("provider", DIALECTS)
@pytest.mark.parametrize("none", [[], None])
def test_pitfall_06_a_chunk_may_have_no_choices(none: list[Any] | None, provider: str) -> None:
    filters = {"choices": none, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    counted = {"choices": none, "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    before, end, after = (f"data: {json.dumps(one)}\n\n".encode() for one in (filters, finish, counted))

    events = read_all(before + chunk(content="Hi") + end + after + DONE, provider)

    assert parts_of(events) == (Text("Hi"),)
    assert finished_of(events).usage == Usage(5, 2, source=UsageSource.REPORTED)


@pytest.mark.parametrize(
    "read", [claudes, geminis, responses, *map(chats, DIALECTS)], ids=["claude", "gemini", "responses", *DIALECTS]
)
def test_pitfall_07_missing_usage_is_never_zero(read: Callable[[None], list[Event]]) -> None:
    opus = CATALOGUE.find("claude", "claude-opus-5-5")
    cut = dialect().reader()
    cut.feed(chunk(content="Hi"))

    usage = finished_of(read(None)).usage

    assert usage.source is cut.usage.source is UsageSource.MISSING
    assert opus is not None
    assert cost(opus, usage, anthropic_api.NOW) is None


REFUSALS: list[tuple[Callable[[], list[Event]], FinishReason]] = [
    (lambda: dialect("openai").decode(body({"content": None, "refusal": "No."})), FinishReason.REFUSAL),
    (
        lambda: responses_api.decoded(output=[{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]),
        FinishReason.REFUSAL,
    ),
    (
        lambda: anthropic_api.claude().decode(
            b'{"type":"message","content":[],"stop_reason":"refusal","stop_details":{"explanation":"No."}}'
        ),
        FinishReason.REFUSAL,
    ),
    (lambda: dialect("openai").decode(body({"content": "No."}, "content_filter")), FinishReason.CONTENT_FILTER),
    (
        lambda: gemini_api.gemini().decode(json.dumps(gemini_api.response({"text": "No."}, finish="SAFETY")).encode()),
        FinishReason.CONTENT_FILTER,
    ),
]


@pytest.mark.parametrize(("read", "reason"), REFUSALS, ids=["openai", "responses", "claude", "filter", "gemini"])
def test_pitfall_18_a_refusal_is_told_by_its_reason_and_keeps_its_text(
    read: Callable[[], list[Event]], reason: FinishReason
) -> None:
    events = read()

    assert finished_of(events).reason is reason
    assert [part.text for part in parts_of(events) if isinstance(part, Text)] == ["No."]


CALLED: dict[str, object] = {
    "tool_calls": [{"id": "x1", "function": {"name": "look", "arguments": "{}"}}],
    "content": None,
}
BLOCK = {"type": "tool_use", "id": "x1", "name": "look", "input": {}}
FUNCTION = {"functionCall": {"id": "x1", "name": "look", "args": {}}}


def test_pitfall_19_why_it_ended_is_told_from_the_content_and_unknown_words_are_kept() -> None:
    claudes_end = json.dumps({"type": "message", "content": [BLOCK], "stop_reason": "end_turn"}).encode()
    geminis_end = json.dumps(gemini_api.response(FUNCTION, finish="STOP")).encode()

    chat = dialect().decode(body(CALLED, "stop"))
    lies = [chat, anthropic_api.claude().decode(claudes_end), gemini_api.gemini().decode(geminis_end)]
    unknown = finished_of(dialect().decode(body({"content": "Hi"}, "tomorrow")))

    assert [finished_of(events).reason for events in lies] == [FinishReason.TOOL_CALLS] * 3
    assert (unknown.reason, unknown.provider_reason) == (FinishReason.OTHER, "tomorrow")
    assert finished_of(dialect().decode(body({"content": "Hi"}, None))).reason is FinishReason.STOP


def test_thoughts_that_show_nothing_keep_their_place_in_a_whole_answer() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "Eq9+/w=="}
    message = {"type": "message", "content": [thought, {"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}

    events = anthropic_api.claude().decode(json.dumps(message).encode())

    assert parts_of(events) == (Reasoning("", provider_state=b"Eq9+/w=="), Text("Hi"))
    assert [event.index for event in events if isinstance(event, PartCompleted)] == [0, 1]
