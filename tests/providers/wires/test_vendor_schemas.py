"""Every body matches the schemas of its vendor: the request types of the SDKs and OpenAI's OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from openai.types.embedding_create_params import EmbeddingCreateParams

from aimanager_server.core.content import (
    Attachment,
    CacheHint,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.providers.endpoints.openai_embeddings import OPENAI, OpenAIEmbeddings
from aimanager_server.providers.endpoints.token_counting import build_count_request, find_endpoint
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support import anthropic, gemini, responses
from tests.support.embeddings import embed_attempt
from tests.support.openapi import problems_of
from tests.support.setting_matrix import SETTINGS, TOOLS, UNKNOWN_MODEL, sent
from tests.support.vendor_sdks import validated_by
from tests.support.wire_cases import user

Json = dict[str, Any]

SCHEMA = '{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
PNG, PDF = Attachment("image/png", "a.png", data=b"\x89PNG"), Attachment("application/pdf", "a.pdf", data=b"%PDF")
URL = Attachment("image/webp", uri="https://example.com/a.webp")
STATES = {
    "claude": b"EqQB",
    "openai": responses.encode_state(responses.REASONING_ITEM),
    "gemini": b"Q2FmZQ==",
    "groq": b"",
}


def conversations(provider: str, model: str) -> Mapping[str, Json]:
    """Return requests with many turns, files, tool results and output formats."""

    def answer(*parts: Any) -> Message:
        return Message(Role.ASSISTANT, parts, provider, model)

    reasoning = Reasoning("Hm.", provider_state=STATES.get(provider, b""))
    phase = responses.encode_state({"type": "refusal", "phase": "final_answer"})
    refusal = Text("I refuse.", phase if provider == "openai" else STATES.get(provider, b""))
    calls = (ToolCall("call_1", "look", '{"at":1}'), ToolCall("functions.look:2", "look", ""))
    results = (
        ToolResult("call_1", "look", "sand", (PNG, PDF)),
        ToolResult("functions.look:2", "look", "no light", is_error=True),
    )
    turns = (user("1"), answer(reasoning, Text("One."), Text("Two.")), user("2"), answer(reasoning, refusal), user("3"))
    tool_turns = (user("1"), answer(reasoning, Text("Wait."), *calls), user(*results), answer(Text("So.")), user("Go."))
    marked: list[Part] = [Text("word " * 2000, cache_hint=CacheHint.LONG), replace(PNG, cache_hint=CacheHint.SHORT)]
    marked_result = replace(results[0], cache_hint=CacheHint.SHORT)
    marked_turns = (user(*marked), answer(reasoning, Text("Wait."), *calls), user(marked_result, results[1], "Go."))
    foreign = Message(Role.ASSISTANT, (reasoning, Text("Yes."), *calls), "another", "model")
    return {
        "turns": {"messages": turns, "system_instruction": "Be brief."},
        "tool turns": {"messages": tool_turns, "tools": TOOLS},
        "foreign turns": {"messages": (user("1"), foreign, user(*results)), "tools": TOOLS},
        "marked": {"messages": marked_turns, "system_instruction": "x" * 9000, "cache_hint": CacheHint.LONG},
        "images": {"messages": (user("See.", PNG, URL),)},
        "documents": {"messages": (user("Read.", PDF, Attachment("text/csv", "a.csv", data=b"a,b")),)},
        "schema": {"output_format": JsonSchemaFormat("answer", SCHEMA, strict=True)},
        "JSON": {"output_format": JsonObjectFormat()},
    }


def requests(provider: str, model: str) -> Iterator[tuple[str, HttpRequest]]:
    cases = [(field, value) for field, values in SETTINGS.items() for value in values]
    for name, settings in (*cases, *conversations(provider, model).items()):
        for streaming in (False, True):
            try:
                yield f"{model}: {name} {settings}", sent(provider, model, settings, streaming=streaming)
            except CapabilityUnsupported:
                continue


def anthropic_problems(body: Json) -> list[str]:
    return differences(body, anthropic.validated_by_sdk(body))


def gemini_problems(body: Json) -> list[str]:
    return differences(body, gemini.validated_by_sdk(body))


def responses_problems(body: Json) -> list[str]:
    return differences(body, responses.validated_by_sdk(body)) + problems_of("CreateResponse", without_lifetime(body))


def without_lifetime(value: Any) -> Any:
    """Return the body without the lifetime of its breakpoints, which is newer than OpenAI's description."""
    if isinstance(value, list):
        return [without_lifetime(item) for item in value]
    if not isinstance(value, dict):
        return value
    marker = {"prompt_cache_breakpoint": {"mode": "explicit"}} if "prompt_cache_breakpoint" in value else {}
    return {name: without_lifetime(item) for name, item in value.items()} | marker


def chat_problems(body: Json) -> list[str]:
    params: Any = CompletionCreateParamsStreaming if body.get("stream") else CompletionCreateParamsNonStreaming
    return differences(body, validated_by(params, body)) + problems_of("CreateChatCompletionRequest", body)


def unknown_server_problems(body: Json) -> list[str]:
    """Return the problems apart from top_k, which OpenAI does not have."""
    return chat_problems({field: value for field, value in body.items() if field != "top_k"})


def differences(body: Json, parsed: Json) -> list[str]:
    """Return the fields that the SDK does not know or reads in another way."""
    return [f"{field}: {value!r:.300}" for field, value in body.items() if parsed.get(field) != value]


CHECKS: list[tuple[str, list[str], Callable[[Json], list[str]]]] = [
    ("claude", ["claude-opus-5-5", "claude-haiku-4-5", UNKNOWN_MODEL], anthropic_problems),
    ("gemini", ["gemini-4-argon", "gemini-2.5-flash", UNKNOWN_MODEL], gemini_problems),
    ("openai", ["gpt-6.2-sol", "gpt-5.5", UNKNOWN_MODEL], responses_problems),
    ("openai", ["gpt-4.1", "o3"], chat_problems),
    ("azure", [UNKNOWN_MODEL], chat_problems),
    ("groq", ["openai/gpt-oss-120b"], chat_problems),
    ("lab-chat_completions", [UNKNOWN_MODEL], unknown_server_problems),
]


@pytest.mark.parametrize(
    ("provider", "models", "problems"), CHECKS, ids=[f"{check[0]}-{check[1][0]}" for check in CHECKS]
)
def test_every_body_matches_the_schemas_of_the_vendor(
    provider: str, models: list[str], problems: Callable[[Json], list[str]]
) -> None:
    bodies = {request.body: name for model in models for name, request in requests(provider, model)}

    invalid = {name: found for body, name in bodies.items() if (found := problems(json.loads(body)))}

    assert len(bodies) > 20
    assert invalid == {}


@pytest.mark.parametrize(
    ("provider", "model", "problems"),
    [
        ("claude", "claude-opus-5-5", lambda body: differences(body, validated_by(MessageCountTokensParams, body))),
        ("openai", "gpt-6.2-sol", lambda body: problems_of("TokenCountsBody", without_lifetime(body))),
        ("gemini", "gemini-4-argon", lambda body: gemini_problems(without_model(body["generateContentRequest"]))),
    ],
)
def test_every_body_that_counts_tokens_matches_the_schemas_of_the_vendor(
    provider: str, model: str, problems: Callable[[Json], list[str]]
) -> None:
    invalid = {}

    for name, request in requests(provider, model):
        endpoint = find_endpoint(request.url.replace(":streamGenerateContent?alt=sse", ":generateContent"))
        assert endpoint is not None
        found = problems(json.loads(build_count_request(endpoint, request).body))
        if found:
            invalid[name] = found

    assert invalid == {}


def without_model(body: Json) -> Json:
    return {field: value for field, value in body.items() if field != "model"}


def test_bodies_for_embeddings_match_the_schemas_of_the_vendor() -> None:
    generation = HttpRequest("POST", "https://api.openai.com/v1/responses", {})
    for dimensions in (None, 64):
        body = json.loads(
            OpenAIEmbeddings(OPENAI).encode(embed_attempt("a", "b", dimensions=dimensions), generation).body
        )

        assert differences(body, validated_by(EmbeddingCreateParams, body)) == []
        assert problems_of("CreateEmbeddingRequest", body) == []


def test_the_check_finds_an_unknown_field_and_an_invalid_message() -> None:
    text = {"type": "output_text", "text": "x", "annotations": []}
    item = {"type": "message", "role": "assistant", "content": [text]}
    valid = {"model": "m", "input": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]}

    assert problems_of("CreateResponse", valid) == []
    assert problems_of("CreateResponse", {**valid, "top_k": 5}) != []
    assert problems_of("CreateResponse", {**valid, "input": [item]}) != []
    assert problems_of("CreateResponse", {**valid, "reasoning": {"budget": 5}}) != []
