"""Bounds of the mock provider: what a prompt can cost, however it is written."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from aimanager_server.core.content import JsonSchemaFormat, Message, Reasoning, Role, Sampling, ToolResult
from aimanager_server.core.embedding import EmbedCall, inputs_as_message
from aimanager_server.core.errors import ContextTooLong, GatewayError, InvalidRequest, ProviderRejectedRequest
from aimanager_server.core.request import Attempt, Caller, Target
from aimanager_server.core.response import TextDelta
from aimanager_server.providers.mock.call_counts import MAX_TRACKED_PROMPTS, CallCounts
from aimanager_server.providers.mock.embeddings import MAX_INPUT_LENGTH, MockEmbedder
from aimanager_server.providers.mock.json_sample import MAX_COST, sample_json
from aimanager_server.providers.mock.pace import Pace
from aimanager_server.providers.mock.prompt import provider_state_for
from aimanager_server.providers.mock.script_scanner import MAX_OPENINGS
from tests.support.event_loop import longest_step
from tests.support.mock_provider import attempt, generate, mock, reply_text, stream_events, user_message

SIZE = 8 * 1024 * 1024
MAX_STEP_SECONDS = 0.1
"""CPU time of one step. The steps of the provider take a fifth of it at most; slower machines need the margin."""

LARGE_PROMPTS: Mapping[str, str] = {
    "words": "a " * (SIZE // 2),
    "one word": "a" * SIZE,
    "blank": " " * SIZE,
    "opening brackets": "[[" * (SIZE // 2),
    "unfinished names": "[[a" * (SIZE // 3),
    "one unfinished name": "[[" + "a" * SIZE,
    "links": "[[link]] " * (SIZE // 9),
    "many directives": "[[reply: x]]" * (SIZE // 12),
    "many rounds": "[[then]]" * (SIZE // 8),
    "unfinished directives": "[[reply: [" * (SIZE // 10),
    "a long reply": f"[[reply: {'x ' * (SIZE // 2)}]]",
    "a reply of brackets": f"[[reply: {'[]' * (SIZE // 2)}]]",
    "a blank reply": f"[[reply: {' ' * SIZE}]]",
    "a long value": f"[[error: {'x ' * (SIZE // 2)}]]",
    "a counted prompt": f"{'x ' * (SIZE // 2)} [[latency: 0 times=1]]",
    "the longest answer": f"[[reply: {'x ' * 500_000}]]",
    "the most words": "[[words: 90000]]",
    "the most hidden reasoning": "[[think: 100000]] [[reply: x]]",
}


async def outcome(prompt: Attempt[Any]) -> object:
    try:
        stream = await mock(scripts=[{"match": "no such text", "answer": ""}])(prompt)
        return (await stream.result()).message
    except GatewayError as error:
        return error.message


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", LARGE_PROMPTS)
async def test_no_prompt_blocks_the_event_loop(name: str, streaming: bool) -> None:
    prompt = attempt(LARGE_PROMPTS[name], streaming=streaming)

    seconds, message = await longest_step(outcome(prompt))

    assert seconds < MAX_STEP_SECONDS
    assert not isinstance(message, str) or len(message) < 1_000


@pytest.mark.parametrize(
    "prompt",
    [
        attempt("x", options={"script": "x " * (SIZE // 2)}),
        attempt("[[words: 90000]]", sampling=Sampling(stop_sequences=("nowhere", "word89999 "))),
        attempt("Hi", system_instruction="a " * (SIZE // 2)),
        attempt(user_message("Hi", *[ToolResult(str(number), "f" * 100, "x" * 8_000) for number in range(1_000)])),
        attempt(Message(Role.ASSISTANT, (Reasoning("x" * SIZE, provider_state=b"mock:"),)), "Hi"),
        attempt("Hi", model="mock-thinker", system_instruction="a" * SIZE),
    ],
)
async def test_no_request_blocks_the_event_loop(prompt: Attempt[Any]) -> None:
    seconds, _ = await longest_step(outcome(prompt))

    assert seconds < MAX_STEP_SECONDS


async def test_calls_work_one_after_the_other() -> None:
    provider = mock()
    prompts = [attempt(LARGE_PROMPTS["words"]) for _ in range(50)]

    seconds, _ = await longest_step(asyncio.gather(*map(provider, prompts)))

    assert seconds < 5 * MAX_STEP_SECONDS


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("[[words: 1000000]]" * 10, "at most 1048576 characters for the mock provider, got 10888895"),
        (f"[[reply: {'x' * SIZE}]]", f"at most 1048576 characters for the mock provider, got {SIZE}"),
        (
            f"[[reply: {'x' * 600_000}]] [[tool: f {'y' * 600_000}]]",
            "1048576 characters for the mock provider, got 1200",
        ),
        ("[[think: 60000]] [[then]] [[think: 60000]]", "'think': must be at most 100000 tokens in total, got 120000"),
        ("[[reply: x]]" * 1_000, "at most 256 mock directives, got 257"),
        (f"[[finish: {'x' * 2_000}]]", "'finish': must have at most 1000 characters, got 2000"),
        (f"[[reply: {'[]' * 60_000}]]", "'reply': must have at most 50000 brackets"),
    ],
)
async def test_a_script_beyond_a_limit_is_an_invalid_field(prompt: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await generate(prompt)

    assert message in caught.value.message
    assert caught.value.violations[0].field == "messages"


async def test_the_operator_sets_the_length_of_scripted_answers() -> None:
    provider = mock(max_answer_length=20)

    assert await reply_text("[[words: 3]]", provider=provider) == "word1 word2 word3"
    with pytest.raises(InvalidRequest, match="at most 20 characters for the mock provider, got 35"):
        await reply_text("[[words: 6]]", provider=provider)
    with pytest.raises(ValueError, match="at most 20 characters"):
        mock(max_answer_length=20, scripts=[{"match": "", "answer": "x" * 21}])


async def test_double_brackets_beyond_the_limit_are_ordinary_text() -> None:
    within = "[[link]]" * (MAX_OPENINGS - 1)

    assert await reply_text(f"{within} [[reply: x]]") == "x"
    assert await reply_text(f"{within} [[link]] [[reply: x]]") != "x"


async def test_a_long_answer_arrives_in_larger_pieces() -> None:
    texts = [event.text for event in await stream_events("[[words: 350]]") if isinstance(event, TextDelta)]

    assert [len(text.split()) for text in texts] == [1] * 100 + [100, 100, 50]
    assert "".join(texts) == " ".join(f"word{number}" for number in range(1, 351))


@pytest.mark.parametrize("directive", ["rate: 1000", "stall: 340 seconds=1"])
async def test_a_long_answer_with_a_rate_or_a_fault_arrives_token_by_token(directive: str) -> None:
    events = await stream_events(f"[[words: 350]] [[{directive}]]")

    assert sum(isinstance(event, TextDelta) for event in events) >= 340


async def test_the_words_of_a_long_prompt_are_estimated_beyond_a_million_characters() -> None:
    short, long = await generate("a " * 500_000), await generate("a " * 500_000 + "b" * 4_000)

    assert short.finished.usage.input_tokens == 500_000
    assert long.finished.usage.input_tokens == 501_000


async def test_call_counts_keep_digests() -> None:
    counts, pace = CallCounts(), Pace(asyncio.Lock())

    for number in range(MAX_TRACKED_PROMPTS + 10):
        await counts.count(attempt("x", caller=Caller("c" * 1_000)), f"{number}" + "x" * 10_000, pace)

    kept = counts._counts
    assert len(kept) == MAX_TRACKED_PROMPTS
    assert sum(map(sys.getsizeof, kept)) < 100_000


async def test_reasoning_longer_than_any_answer_is_not_hashed() -> None:
    reasoning = Reasoning("x" * SIZE, provider_state=provider_state_for("x" * SIZE))

    with pytest.raises(ProviderRejectedRequest):
        await generate(Message(Role.ASSISTANT, (reasoning,), "mock"), "Hi")


def embed_attempt(*inputs: str) -> Attempt[EmbedCall]:
    target = Target("mock", "mock-embedding")
    call = EmbedCall("call-1", Caller(), "", (inputs_as_message(inputs),), (target,), 2000.0, dimensions=64)
    return Attempt.of(call, target, 0.0)


async def test_embeddings_do_not_block_the_event_loop() -> None:
    words = " ".join(map(str, range(11_000)))

    seconds, batch = await longest_step(MockEmbedder(mock()).embed(embed_attempt(*[words] * 16)))

    assert seconds < MAX_STEP_SECONDS
    assert len(batch.vectors) == 16


async def test_an_oversized_embedding_input_exceeds_the_context() -> None:
    text = "a " * (MAX_INPUT_LENGTH // 2)

    assert await MockEmbedder(mock()).embed(embed_attempt(text))
    with pytest.raises(ContextTooLong, match="at most 65536 characters, got 65537"):
        await MockEmbedder(mock()).embed(embed_attempt("short", text + "a"))


def nested_arrays(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1000}
    for _ in range(depth):
        schema = {"type": "array", "minItems": 1000, "items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        nested_arrays(6),
        {"required": [f"p{n}" for n in range(500)], "properties": {f"p{n}": nested_arrays(1) for n in range(500)}},
        {"$defs": {"a": {"const": "x" * 60_000}}, "type": "array", "minItems": 90_000, "items": {"$ref": "#/$defs/a"}},
        {"required": ["x" * 60_000], "properties": {"x" * 60_000: {"$ref": "#"}}},
        {"allOf": [{"$ref": "#"}] * 1_000},
        {f"keyword{n}": n for n in range(5_000)} | {"anyOf": [{"required": ["a"], "properties": {"a": {"$ref": "#"}}}]},
    ],
)
def test_the_size_of_a_sample_is_bounded(schema: dict[str, Any]) -> None:
    assert len(sample_json(JsonSchemaFormat("large", json.dumps(schema)))) <= 2 * MAX_COST


def test_a_number_too_large_to_round_is_used_as_it_is() -> None:
    schema = f'{{"type": "integer", "minimum": {10**400}, "multipleOf": 0.5}}'

    assert json.loads(sample_json(JsonSchemaFormat("number", schema))) == 10**400
