"""Schemas and native options of one caller neither block the server nor delay another caller."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.gateway import settings_with, started_gateway
from tests.support.rpc import bearer, callers
from tests.support.rpc_operations import RunningGateway, running_gateway, sync_failure_of

EMPTY_LISTS = "[" + ",".join(["[]"] * 1_000_000) + "]"
"""Three megabytes that take seconds to parse."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


@contextmanager
def processor_time_below(seconds: float) -> Iterator[None]:
    """Check the time that all threads of this process, the server's among them, spend within the block."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds


def schema_format(schema: Any) -> generation_pb2.OutputFormat:
    return generation_pb2.OutputFormat(json_schema=generation_pb2.JsonSchema(schema_json=json.dumps(schema)))


def exponential_schema(levels: int = 40) -> dict[str, Any]:
    """A schema that takes two to the power of `levels` steps to validate."""
    twice = {f"a{level}": {"anyOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 2} for level in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**twice, f"a{levels}": {"type": "string"}}}


def test_a_pattern_that_is_expensive_to_compile_is_rejected_before_it_is_compiled(gateway: RunningGateway) -> None:
    patterns = {str(number): {"pattern": rf"(?:\w{{1,100}}x){{2}}{number}"} for number in range(100)}

    with processor_time_below(0.5):
        failure = sync_failure_of(lambda: gateway.generate("Hi", output_format=schema_format({"properties": patterns})))

    assert "must have at most 10000 states when compiled" in failure.fields["output_format.json_schema.schema_json"]


def test_schemas_of_tools_are_limited_together(gateway: RunningGateway) -> None:
    schema = json.dumps({"description": "x" * 240_000})
    tools = [generation_pb2.Tool(name=f"t{number}", input_schema_json=schema) for number in range(128)]

    with processor_time_below(0.5):
        failure = sync_failure_of(lambda: gateway.generate("Hi", tools=tools))

    assert failure.fields == {
        "tools[0].input_schema_json": "must have at most 1048576 characters together with the other schemas and "
        f"options, got {128 * len(schema)}"
    }


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ('provider_options_json["mock"]', {"provider_options_json": {"mock": f'{{"a": {EMPTY_LISTS[:300_000]}'}}),
        (
            "tools[0].input_schema_json",
            {"tools": [{"name": "a", "input_schema_json": EMPTY_LISTS[:300_000]}, {"name": "b"}]},
        ),
        (
            "output_format.json_schema.schema_json",
            {"output_format": {"json_schema": {"schema_json": EMPTY_LISTS[:120_000]}}},
        ),
    ],
)
def test_json_of_many_small_values_is_rejected_before_it_is_parsed(
    gateway: RunningGateway, path: str, fields: dict[str, Any]
) -> None:
    with processor_time_below(0.5):
        failure = sync_failure_of(lambda: gateway.generate("Hi", **fields))

    assert list(failure.fields) == [path]
    assert "must have at most 30000 brackets and commas" in failure.message


def test_native_options_of_embeddings_are_limited(gateway: RunningGateway) -> None:
    failure = sync_failure_of(lambda: gateway.embed("a", provider_options_json={"gemini": "x" * 20_000}))

    assert failure.fields == {'provider_options_json["gemini"]': "must have at most 16384 characters, got 20000"}


@pytest.mark.parametrize("field", ["provider_state", "arguments_json"])
def test_json_within_messages_is_limited(gateway: RunningGateway, field: str) -> None:
    call = content_pb2.ToolCall(id="1", name="a", arguments_json=EMPTY_LISTS if field == "arguments_json" else "{}")
    state = EMPTY_LISTS.encode() if field == "provider_state" else b""
    messages = [
        content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")]),
        content_pb2.Message(
            role=content_pb2.ROLE_ASSISTANT, parts=[content_pb2.Part(tool_call=call, provider_state=state)]
        ),
        content_pb2.Message(
            role=content_pb2.ROLE_USER,
            parts=[content_pb2.Part(tool_result=content_pb2.ToolResult(tool_call_id="1", output="x"))],
        ),
    ]
    request = generation_pb2.GenerateRequest(model="claude/claude-opus-5-5", messages=messages)

    with processor_time_below(0.5):
        failure = sync_failure_of(lambda: GenerationServiceStub(gateway.channel).Generate(request, timeout=30))

    [(path, description)] = failure.fields.items()
    assert path.endswith(field)
    assert description.startswith("must have at most 300000 brackets and commas")


def test_a_validation_of_one_caller_does_not_hold_up_that_of_another() -> None:
    valid = generation_pb2.GenerateRequest(
        model="mock/latest",
        messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")])],
        output_format=schema_format({"type": "object"}),
    )
    with (
        started_gateway(settings_with(callers=callers("eve", "ann"))) as target,
        grpc.insecure_channel(target) as channel,
    ):
        generate: Any = GenerationServiceStub(channel).Generate
        validating = [generate.future(hostile_request(), metadata=bearer("eve"), timeout=60) for _ in range(24)]
        answers = [generate(valid, metadata=bearer("ann"), timeout=60) for _ in range(20)]
        ended = [call.done() for call in validating]
        for call in validating:
            call.cancel()

    assert len(answers) == 20
    # One at a time, each takes seconds.
    assert ended.count(True) <= 1


def hostile_request() -> generation_pb2.GenerateRequest:
    """A request whose answer takes seconds to validate."""
    return generation_pb2.GenerateRequest(
        model="mock/latest",
        messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="[[reply: {}]]")])],
        output_format=schema_format(exponential_schema()),
    )
