"""JSON Schemas that are expensive to check, to compile or to validate with."""

from __future__ import annotations

import json
from collections.abc import Iterable

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import MAX_KEPT_MIB, MAX_LARGE_REQUEST_PEAK_MIB, Attack, Received, Target
from tests.attack.requests import (
    ATTACKER,
    CALL_SECONDS,
    generate_request,
    open_channel,
    outcomes_of,
    schema_request,
)

PATTERNS, PATTERN_CALLS = 100, 3
TOOLS, TOOL_SCHEMA_BYTES = 128, 240 * 1000
REFERENCE_CALLS, REFERENCE_DEPTH = 24, 40


def _pattern_schema(number: int) -> str:
    """Return a schema of 6.5 KB with 100 patterns, each of which takes megabytes once it is compiled."""
    patterns = {f"p{index}": {"pattern": rf"(?:\w{{1,100}}x){{2}}{number}{index}"} for index in range(PATTERNS)}
    return json.dumps({"type": "object", "properties": patterns})


def _tools() -> list[generation_pb2.Tool]:
    """Return 128 tools with a schema of 240 KB each."""
    count = TOOL_SCHEMA_BYTES // len('"p12345":{"type":"string"},')
    properties = {f"p{index:05}": {"type": "string"} for index in range(count)}
    schema = json.dumps({"type": "object", "properties": properties}, separators=(",", ":"))
    return [generation_pb2.Tool(name=f"tool_{index}", input_schema_json=schema) for index in range(TOOLS)]


def _reference_schema(number: int) -> str:
    """Return a schema that refers 2 ** 40 times to its last definition."""
    definitions: dict[str, object] = {
        f"d{index}": {"allOf": [{"$ref": f"#/$defs/d{index + 1}"}] * 2} for index in range(REFERENCE_DEPTH)
    }
    definitions[f"d{REFERENCE_DEPTH}"] = {"type": "object", "title": str(number)}
    return json.dumps({"$ref": "#/$defs/d0", "$defs": definitions})


async def _send_patterns(target: Target) -> Received:
    return await _send(target, (schema_request(_pattern_schema(number)) for number in range(PATTERN_CALLS)))


async def _send_tool_schemas(target: Target) -> Received:
    return await _send(target, [generate_request(tools=_tools())])


async def _send_references(target: Target) -> Received:
    return await _send(target, (schema_request(_reference_schema(number)) for number in range(REFERENCE_CALLS)))


async def _send(target: Target, requests: Iterable[generation_pb2.GenerateRequest]) -> Received:
    async with open_channel(target.port) as channel:
        generate = GenerationServiceStub(channel).Generate
        calls = [generate(request, metadata=ATTACKER, timeout=CALL_SECONDS) for request in requests]
        return Received(await outcomes_of(calls))


ATTACKS = (
    Attack(
        "patterns",
        rf"{PATTERN_CALLS} schemas with {PATTERNS} patterns such as (?:\w{{1,100}}x){{2}}",
        _send_patterns,
        max_kept_mib=MAX_KEPT_MIB,
    ),
    Attack(
        "tool_schemas",
        f"{TOOLS} tools with schemas of 240 KB",
        _send_tool_schemas,
        max_peak_mib=MAX_LARGE_REQUEST_PEAK_MIB,
        max_kept_mib=MAX_KEPT_MIB,
    ),
    Attack("references", f"{REFERENCE_CALLS} schemas with 2^40 references at once", _send_references),
)
