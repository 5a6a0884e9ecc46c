"""Native options that only the gateway decides, and large options and stop sequences."""

from __future__ import annotations

import json
from collections.abc import Iterable

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import MAX_KEPT_MIB, MAX_LARGE_REQUEST_PEAK_MIB, Attack, Received, Target
from tests.attack.requests import ATTACKER, CALL_SECONDS, generate_request, one_by_one, open_channel, outcome_of

MIB = 1024 * 1024
FORBIDDEN: tuple[tuple[str, dict[str, object]], ...] = (
    ("up", {"model": "expensive"}),
    ("up", {"n": 50}),
    ("up", {"store": True}),
    ("up", {"messages": []}),
    ("up", {"stream": True}),
    ("openai", {"previous_response_id": "resp_1"}),
    ("openai", {"store": True}),
    ("openai", {"tools": [{"type": "mcp", "server_url": "https://example.com"}]}),
    ("claude", {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}),
    ("claude", {"model": "claude-opus"}),
)
"""Options that must be refused, by provider."""

MODELS = {"up": "up/small", "openai": "openai/gpt", "claude": "claude/opus"}
STOP_SEQUENCES, STOP_SEQUENCE_BYTES, STOP_CALLS = 64, 30 * MIB // 64, 20
OPTIONS_CALLS = 2
OPTIONS_BYTES = 31 * MIB


async def _send_forbidden_options(target: Target) -> Received:
    requests = [
        generate_request(model=MODELS[provider], provider_options_json={provider: json.dumps(options)})
        for provider, options in FORBIDDEN
    ]
    received = await _send(target, requests)
    received.figures["accepted"] = received.outcomes.total() - received.outcomes["INVALID_FIELD"]
    return received


async def _send_stop_sequences(target: Target) -> Received:
    return await _send(target, map(_stop_request, range(STOP_CALLS)))


def _stop_request(number: int) -> generation_pb2.GenerateRequest:
    stops = [f"{number} {index} ".ljust(STOP_SEQUENCE_BYTES, "x") for index in range(STOP_SEQUENCES)]
    return generate_request(sampling=generation_pb2.SamplingOptions(stop_sequences=stops))


async def _send_large_options(target: Target) -> Received:
    numbers = "0," * (OPTIONS_BYTES // 2)
    request = generate_request(provider_options_json={"up": f'{{"metadata":[{numbers}0]}}'})
    return await _send(target, [request] * OPTIONS_CALLS)


async def _send(target: Target, requests: Iterable[generation_pb2.GenerateRequest]) -> Received:
    async with open_channel(target.port) as channel:
        generate = GenerationServiceStub(channel).Generate
        outcomes = await one_by_one(
            outcome_of(generate(request, metadata=ATTACKER, timeout=CALL_SECONDS)) for request in requests
        )
        return Received(outcomes)


ATTACKS = (
    Attack(
        "forbidden_options",
        f"{len(FORBIDDEN)} calls with native options that the gateway decides or does not book",
        _send_forbidden_options,
        {"providers": {"openai": {"wire": "responses"}, "claude": {"wire": "anthropic"}}},
        max_figures={"accepted": 0},
    ),
    Attack(
        "stop_sequences",
        f"{STOP_CALLS} calls with 30 MiB of stop sequences each",
        _send_stop_sequences,
        max_peak_mib=MAX_LARGE_REQUEST_PEAK_MIB,
        max_kept_mib=MAX_KEPT_MIB,
    ),
    Attack(
        "large_options",
        f"{OPTIONS_CALLS} calls with 31 MiB of native options each",
        _send_large_options,
        max_peak_mib=MAX_LARGE_REQUEST_PEAK_MIB,
        max_kept_mib=MAX_KEPT_MIB,
    ),
)
