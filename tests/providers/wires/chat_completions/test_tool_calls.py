"""Parallel tool calls are separated, however the server numbers them."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from aimanager_server.core.content import ToolCall
from aimanager_server.core.response import ToolCallDelta
from aimanager_server.providers.wires.chat_completions.tool_calls import ToolCallAssembler
from aimanager_server.providers.wires.part_assembler import PartAssembler
from tests.support.chat_completions import LOOK_CALLS, chat_wire, chunk, read_stream, recorded, response_body
from tests.support.wire_cases import completed_parts


@pytest.mark.parametrize(
    "name", ["ollama_index_always_zero", "ollama_no_ids", "neither_index_nor_id", "repeated_id_and_name"]
)
def test_parallel_calls_of_the_same_tool_are_separated(name: str) -> None:
    calls = completed_parts(read_stream(recorded(f"chat_completions/{name}.sse")))

    assert [part.arguments_json for part in calls if isinstance(part, ToolCall)] == ['{"at":1}', '{"at":2}']
    assert len({part.id for part in calls if isinstance(part, ToolCall)}) == 2


def test_new_name_at_a_used_index_starts_a_new_call() -> None:
    calls = [{"index": 0, "function": {"name": name, "arguments": "{"}} for name in ("look", "listen")]

    events = read_stream(chunk(tool_calls=calls[:1]) + chunk(tool_calls=calls[1:]) + b"data: [DONE]\n\n")

    assert [part.name for part in completed_parts(events) if isinstance(part, ToolCall)] == ["look", "listen"]


@pytest.mark.parametrize("pieces", [('{"at"', ":1}"), ("[", '{"at":1}', "]"), ('{"a', 't":"}', "\\", '"}', '"', "}")])
def test_same_name_with_incomplete_arguments_continues_the_call(pieces: tuple[str, ...]) -> None:
    calls = [{"index": 0, "function": {"name": "look", "arguments": piece}} for piece in pieces]

    events = read_stream(b"".join(chunk(tool_calls=[call]) for call in calls) + b"data: [DONE]\n\n")

    arguments = [part.arguments_json for part in completed_parts(events) if isinstance(part, ToolCall)]
    assert arguments == ["".join(pieces)]


def steps_to_add(count: int, *, has_index: bool) -> int:
    """Return how many functions and generators run to add this many calls."""
    assembler, steps = ToolCallAssembler(PartAssembler()), 0

    def count_step(frame: FrameType, event: str, argument: object) -> None:
        nonlocal steps
        steps += event == "call"

    sys.setprofile(count_step)
    try:
        for number in range(count):
            function = {"name": "look", "arguments": "{}"}
            entry = {"id": f"call_{number}", "function": function}
            assembler.add(entry | {"index": number} if has_index else entry)
    finally:
        sys.setprofile(None)
    return steps


@pytest.mark.parametrize("has_index", [True, False])
def test_effort_grows_linearly_with_the_number_of_calls(has_index: bool) -> None:
    assert steps_to_add(1000, has_index=has_index) < 12 * steps_to_add(100, has_index=has_index)


@pytest.mark.parametrize("name", [None, "", "look"])
def test_another_id_at_the_same_index_continues_the_call(name: str | None) -> None:
    first = {"index": 0, "id": "x1", "function": {"name": "look", "arguments": ""}}
    rest = [
        {"index": 0, "id": f"x{number}", "function": {"name": name, "arguments": piece}}
        for number, piece in enumerate(('{"at"', ":1}"), 2)
    ]

    events = read_stream(b"".join(chunk(tool_calls=[call]) for call in (first, *rest)) + b"data: [DONE]\n\n")

    assert completed_parts(events) == (ToolCall("x1", "look", '{"at":1}'),)


def test_late_id_belongs_to_the_open_call() -> None:
    first, second = {"index": 0, "function": {"name": "look", "arguments": '{"a"'}}, {"index": 0, "id": "x1"}

    events = read_stream(chunk(tool_calls=[first]) + chunk(tool_calls=[second]) + b"data: [DONE]\n\n")

    assert len(completed_parts(events)) == 1


def test_id_without_an_index_finds_its_call() -> None:
    calls = [{"id": i, "function": {"name": "look" if n else None, "arguments": a}} for i, n, a in
             (("x1", True, "{"), ("x2", True, "{"), ("x1", False, '"at":1}'), ("x2", False, '"at":2}'))]  # fmt: skip

    events = read_stream(b"".join(chunk(tool_calls=[call]) for call in calls) + b"data: [DONE]\n\n")

    assert completed_parts(events) == LOOK_CALLS


@pytest.mark.parametrize(
    ("arguments", "expected"), [({"at": 1}, '{"at":1}'), (None, "{}"), ("", "{}"), ("not json", "not json"), ([], "[]")]
)
def test_arguments_are_kept_as_text(arguments: object, expected: str) -> None:
    call = {"id": "x1", "type": "function", "function": {"name": "look", "arguments": arguments}}

    events = chat_wire().decode(response_body({"content": None, "tool_calls": [call]}))

    assert completed_parts(events) == (ToolCall("x1", "look", expected),)


def test_tool_call_is_emitted_when_it_starts() -> None:
    start = chunk(tool_calls=[{"index": 0, "id": "x1", "function": {"name": "look", "arguments": ""}}])

    assert chat_wire().stream_reader().feed(start) == [ToolCallDelta(0, "x1", "look", "")]
