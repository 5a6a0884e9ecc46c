"""Prompt caching through a gateway: what a conversation costs with and without markers, and who shares a cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from tests.integration.test_conversations import Client, user
from tests.support.gateway import settings_with, started_gateway
from tests.support.prompt_cache_servers import CacheServer, ClaudeModel, OpenAIModel, started_cache_server
from tests.support.tokens import callers

CLAUDE, OPENAI = "claude/claude-opus-5-5", "openai/gpt-6.2-sol"
SYSTEM = "You keep the log of a lighthouse, and answer from it. " * 80
QUESTION = "What did the keeper write about the weather and the ships that passed? " * 12
BOOK = "Call me Ishmael. " * 2000
SHORT, LONG = content_pb2.CACHE_HINT_SHORT, content_pb2.CACHE_HINT_LONG


@contextmanager
def gateway_before(server: CacheServer, wire: str = "responses", **provider: Any) -> Iterator[dict[str, Client]]:
    """Run a gateway whose Claude and OpenAI are the server; yield the clients of two callers."""
    names = {"claude": server.url, "openai": f"{server.url}/v1", "deepseek": server.url}
    own = {name: {"base_url": url, "api_key": "sk-canary-0123456789", **provider} for name, url in names.items()}
    own["openai"]["wire"] = wire
    sections = {"providers": own, "callers": callers("alice", "bob")}
    with started_gateway(settings_with(**sections)) as target, grpc.insecure_channel(target) as channel:
        yield {name: Client(channel, name) for name in ("alice", "bob")}


def responses_to_turns(client: Client, model: str, turns: int = 10) -> list[generation_pb2.GenerateResponse]:
    """Return the responses to the turns of a new conversation."""
    conversation = client.create(model=model, system_instruction=SYSTEM)
    return [client.ask(conversation.id, f"{number}: {QUESTION}", model=model) for number in range(turns)]


CASES = [
    pytest.param(CLAUDE, "responses", ClaudeModel, 2.5, id="claude"),
    pytest.param(OPENAI, "responses", OpenAIModel, 1.2, id="openai"),
    pytest.param(OPENAI, "chat_completions", OpenAIModel, 1.2, id="openai-chat"),
]
"""How much less the input of ten turns must cost. OpenAI caches without markers too, but finds fewer entries."""


@pytest.mark.parametrize(("model", "wire", "cache", "factor"), CASES)
def test_ten_turns_cost_less_with_markers(
    model: str, wire: str, cache: type[ClaudeModel | OpenAIModel], factor: float
) -> None:
    costs: dict[bool, int] = {}
    for is_on in (True, False):
        with (
            started_cache_server((cached := cache()).respond) as server,
            gateway_before(server, wire, prompt_cache=is_on) as clients,
        ):
            responses = responses_to_turns(clients["alice"], model)
        usages = [response.usage for response in responses]
        costs[is_on] = sum(response.cost.input_nanos for response in responses)

        assert [usage.cache_read_tokens for usage in usages] == [counts.read for counts in cached.counts]
        assert [usage.cache_write_tokens for usage in usages] == [counts.written for counts in cached.counts]
        if is_on:
            reads = [usage.cache_read_tokens for usage in usages]
            assert reads == [0, *(usage.cache_read_tokens + usage.cache_write_tokens for usage in usages[:-1])]

    assert costs[True] * factor < costs[False]


def test_a_single_request_costs_what_it_costs_without_a_cache() -> None:
    with started_cache_server((claude := ClaudeModel()).respond) as server, gateway_before(server) as clients:
        request = generation_pb2.GenerateRequest(model=CLAUDE, messages=[user(BOOK)], system_instruction=SYSTEM)
        response = clients["alice"].generation.Generate(request, metadata=clients["alice"].metadata)
    with started_cache_server((openai := OpenAIModel()).respond) as server, gateway_before(server) as clients:
        request.model = OPENAI
        clients["alice"].generation.Generate(request, metadata=clients["alice"].metadata)

    assert [counts.written for counts in (*claude.counts, *openai.counts)] == [0, 0]
    assert response.cost.input_nanos == response.usage.input_tokens * 4000
    assert not response.warnings


@pytest.mark.parametrize(
    ("model", "cache", "factors"), [(CLAUDE, ClaudeModel, (1.25, 2)), (OPENAI, OpenAIModel, (1.25, 2.5))]
)
def test_a_hint_writes_once_and_each_further_request_reads(
    model: str, cache: type[ClaudeModel | OpenAIModel], factors: tuple[float, float]
) -> None:
    prices = {CLAUDE: (4000, 200), OPENAI: (2000, 100)}[model]

    for hint, factor in zip((SHORT, LONG), factors, strict=True):
        with started_cache_server((cached := cache()).respond) as server, gateway_before(server) as clients:
            client, responses = clients["alice"], []
            for question in ("Who is it?", "Where?", "Why?"):
                message = user(BOOK)
                message.parts[0].cache_hint = hint
                message.parts.add(text=question)
                request = generation_pb2.GenerateRequest(model=model, messages=[message])
                responses.append(client.generation.Generate(request, metadata=client.metadata))
        written = cached.counts[0].written

        assert [counts.written for counts in cached.counts] == [written, 0, 0]
        assert [counts.read for counts in cached.counts] == [0, written, written]
        assert [response.usage.long_cache_write_tokens for response in responses] == [
            written if hint == LONG else 0, 0, 0,
        ]  # fmt: skip
        for response, paid in zip(responses, (factor * prices[0], prices[1], prices[1]), strict=True):
            uncached = response.usage.input_tokens - written
            assert response.cost.input_nanos == uncached * prices[0] + written * paid
        assert not any(response.warnings for response in responses)


def test_the_callers_of_a_gateway_use_different_caches() -> None:
    with started_cache_server((cached := OpenAIModel()).respond) as server, gateway_before(server) as clients:
        for client in clients.values():
            conversation = client.create(model=OPENAI, system_instruction=SYSTEM)
            client.ask(conversation.id, QUESTION, model=OPENAI)
        for client in clients.values():
            request = generation_pb2.GenerateRequest(model="deepseek/deepseek-flash", messages=[user(QUESTION)])
            client.generation.Generate(request, metadata=client.metadata)

    assert [counts.read for counts in cached.counts] == [0, 0, 0, 0]
    keys = [body.get("prompt_cache_key") or body["user_id"] for _, body in server.requests]
    assert len(set(keys)) == 4
    assert "alice" not in json.dumps([body for _, body in server.requests])


def test_a_hint_is_not_stored_with_the_turn() -> None:
    with started_cache_server((cached := ClaudeModel()).respond) as server, gateway_before(server) as clients:
        client = clients["alice"]
        conversation = client.create(model=CLAUDE, system_instruction=SYSTEM)
        request = generation_pb2.GenerateRequest(conversation_id=conversation.id, messages=[user(BOOK)])
        request.messages[0].parts[0].cache_hint = LONG
        client.generation.Generate(request, metadata=client.metadata)
        client.ask(conversation.id, QUESTION, model=CLAUDE)

    assert cached.counts[0].long_written > 0 == cached.counts[1].long_written
    assert cached.counts[1].read == cached.counts[0].written
    assert cached.counts[1].short_written > 0
