"""What callers send is not kept beyond the stated sizes."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.validation.patterns import compile_pattern
from tests.support.rpc_operations import RunningGateway, running_gateway

CALLS = 10
CHARACTERS = 4_000_000
MAX_KEPT_BYTES = 3_000_000
"""Less than one of the long values."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


def user(text: str) -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])


def schema_format(keyword: str, text: str) -> dict[str, Any]:
    return {"output_format": {"json_schema": {"schema_json": json.dumps({keyword: text})}}}


Fields = Callable[[str], dict[str, Any]]

REQUESTS: dict[str, Fields] = {
    "prompt": lambda text: {"messages": [user(text)]},
    "prompt with a counted fault": lambda text: {"messages": [user(f"[[latency: 0.001 times=1]] {text}")]},
    "system instruction": lambda text: {"system_instruction": text},
    "stop sequence": lambda text: {"sampling": {"stop_sequences": [text]}},
    "option": lambda text: {"provider_options_json": {"mock": f'{{"script": "{text[:500_000]}"}}'}},
    "tool schema": lambda text: {"tools": [{"name": "a", "input_schema_json": f'{{"title": "{text[:500_000]}"}}'}]},
    "output schema": lambda text: schema_format("title", text[:99_999]),
    "pattern": lambda text: schema_format("pattern", text[:999]),
    "reference": lambda text: schema_format("$ref", f"#/{text[:99_999]}"),
    "model": lambda text: {"model": f"mock/{text}"},
    "fallback": lambda text: {"fallback_models": [text]},
    "label": lambda text: {"labels": {"a": text}},
    "idempotency key": lambda text: {"idempotency_key": text},
    "end user": lambda text: {"end_user_id": text},
    "attachment": lambda text: {
        "messages": [
            content_pb2.Message(
                role=content_pb2.ROLE_USER,
                parts=[
                    content_pb2.Part(text="Hi"),
                    content_pb2.Part(attachment={"mime_type": "image/png", "data": text.encode()}),  # type: ignore[arg-type]
                ],
            )
        ]
    },
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_a_caller_sends_is_not_kept(gateway: RunningGateway, name: str) -> None:
    def send(text: str) -> None:
        fields = {"model": "mock/latest", "messages": [user("Hi")], **REQUESTS[name](text)}
        with suppress(grpc.RpcError):
            GenerationServiceStub(gateway.channel).Generate(generation_pb2.GenerateRequest(**fields), timeout=30)

    send("x" * CHARACTERS)
    gc.collect()
    tracemalloc.start()
    for number in range(CALLS):
        send(f"{number}" + "x" * CHARACTERS)
    kept = sys.maxsize
    for _ in range(50):
        # The server may still hold the last request.
        send("x")
        gc.collect()
        kept = min(kept, tracemalloc.get_traced_memory()[0])
        if kept < MAX_KEPT_BYTES:
            break
    tracemalloc.stop()

    assert kept < MAX_KEPT_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_compiled_patterns_take_a_bounded_amount_of_memory() -> None:
    before = resident_bytes()
    for number in range(150):
        compile_pattern(rf"\w{{12}}{number}")

    assert resident_bytes() - before < 100_000_000


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
