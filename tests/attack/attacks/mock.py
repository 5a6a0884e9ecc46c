"""Directives of the mock provider in a prompt, where the operator has configured it."""

from __future__ import annotations

from collections import Counter

from aimanager.v1 import embedding_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import Attack, Received, Target
from tests.attack.requests import (
    ACCOMPLICE,
    ATTACKER,
    CALL_SECONDS,
    generate_request,
    open_channel,
    outcome_of,
    outcomes_of,
)

MIB = 1024 * 1024
MODEL, EMBEDDING_MODEL = "mock/mock-large", "mock/mock-embedding"
WITH_MOCK = {"providers": {"mock": {"enabled": True}}}
WORDS = "[[words: 1000000]]" * 10
REPLY_BYTES = 31 * MIB
ERROR = "[[error: PROVIDER_QUOTA_EXHAUSTED]]"
CALLS = 4


async def _generate(target: Target, prompt: str, calls: int) -> Received:
    async with open_channel(target.port) as channel:
        generate = GenerationServiceStub(channel).Generate
        request = generate_request(prompt, MODEL)
        sent = [generate(request, metadata=ATTACKER, timeout=CALL_SECONDS) for _ in range(calls)]
        return Received(await outcomes_of(sent))


async def _send_words(target: Target) -> Received:
    return await _generate(target, WORDS, CALLS)


async def _send_reply(target: Target) -> Received:
    return await _generate(target, f"[[reply: {'a' * REPLY_BYTES}]]", 1)


async def _send_embedding(target: Target) -> Received:
    async with open_channel(target.port) as channel:
        embed = EmbeddingServiceStub(channel).Embed
        request = embedding_pb2.EmbedRequest(model=EMBEDDING_MODEL, inputs=["a " * MIB])
        return Received(
            await outcomes_of(embed(request, metadata=ATTACKER, timeout=CALL_SECONDS) for _ in range(CALLS))
        )


async def _send_error(target: Target) -> Received:
    """Let one caller script an error, and another call the same models."""
    async with open_channel(target.port) as channel:
        generate = GenerationServiceStub(channel).Generate
        received = await _generate(target, ERROR, 1)
        models = [f"mock/mock-{size}" for size in ("large", "medium", "small")]
        others = Counter(
            [
                await outcome_of(generate(generate_request("Hello", model), metadata=ACCOMPLICE, timeout=CALL_SECONDS))
                for model in models
            ]
        )
        received.outcomes += others
        received.figures["failed_calls_of_another"] = others.total() - others["OK"]
        return received


ATTACKS = (
    Attack("mock_words", f"{CALLS} prompts '{WORDS[:18]}' × 10 to the mock provider", _send_words, WITH_MOCK),
    Attack("mock_reply", "'[[reply: …]]' of 31 MiB to the mock provider", _send_reply, WITH_MOCK, max_peak_mib=400.0),
    Attack("mock_embedding", f"{CALLS} embeddings of 2 MiB by the mock provider", _send_embedding, WITH_MOCK),
    Attack(
        "mock_error",
        f"'{ERROR}' to the mock provider, then calls of another caller",
        _send_error,
        WITH_MOCK,
        max_figures={"failed_calls_of_another": 0},
    ),
)
