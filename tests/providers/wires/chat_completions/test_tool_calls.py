"""Parallel tool calls are told apart, however badly a server numbers them."""

from __future__ import annotations

import pytest

from aimanager_server.core.content import ToolCall
from aimanager_server.core.response import ToolCallDelta
from tests.support.chat_completions import dialect, fixture, parts_of, read_all
from tests.support.chat_completions_answers import LOOK, body, chunk


@pytest.mark.parametrize(
    "name", ["ollama_index_always_zero", "ollama_no_ids", "neither_index_nor_id", "repeated_id_and_name"]
)
def test_parallel_calls_of_the_same_tool_are_told_apart(name: str) -> None:
    calls = parts_of(read_all(fixture(f"chat_completions/{name}.sse")))

    assert [part.arguments_json for part in calls if isinstance(part, ToolCall)] == ['{"at":1}', '{"at":2}']
    assert len({part.id for part in calls if isinstance(part, ToolCall)}) == 2


def test_another_name_at_a_used_index_is_another_call() -> None:
    calls = [{"index": 0, "function": {"name": name, "arguments": "{"}} for name in ("look", "listen")]

    events = read_all(chunk(tool_calls=calls[:1]) + chunk(tool_calls=calls[1:]) + b"data: [DONE]\n\n")

    assert [part.name for part in parts_of(events) if isinstance(part, ToolCall)] == ["look", "listen"]


def test_the_same_name_at_a_used_index_goes_on_where_arguments_are_not_complete() -> None:
    calls = [{"index": 0, "function": {"name": "look", "arguments": piece}} for piece in ('{"at"', ":1}")]

    events = read_all(chunk(tool_calls=calls[:1]) + chunk(tool_calls=calls[1:]) + b"data: [DONE]\n\n")

    assert [part.arguments_json for part in parts_of(events) if isinstance(part, ToolCall)] == ['{"at":1}']


def test_a_late_id_belongs_to_the_call_it_names() -> None:
    first, second = {"index": 0, "function": {"name": "look", "arguments": '{"a"'}}, {"index": 0, "id": "x1"}

    events = read_all(chunk(tool_calls=[first]) + chunk(tool_calls=[second]) + b"data: [DONE]\n\n")

    assert len(parts_of(events)) == 1


def test_an_id_without_index_finds_its_call_again() -> None:
    calls = [{"id": i, "function": {"name": "look" if n else None, "arguments": a}} for i, n, a in
             (("x1", True, "{"), ("x2", True, "{"), ("x1", False, '"at":1}'), ("x2", False, '"at":2}'))]  # fmt: skip

    events = read_all(b"".join(chunk(tool_calls=[call]) for call in calls) + b"data: [DONE]\n\n")

    assert parts_of(events) == LOOK


@pytest.mark.parametrize(
    ("arguments", "read"), [({"at": 1}, '{"at":1}'), (None, "{}"), ("", "{}"), ("not json", "not json"), ([], "[]")]
)
def test_arguments_are_kept_as_written(arguments: object, read: str) -> None:
    call = {"id": "x1", "type": "function", "function": {"name": "look", "arguments": arguments}}

    events = dialect().decode(body({"content": None, "tool_calls": [call]}))

    assert parts_of(events) == (ToolCall("x1", "look", read),)


def test_a_tool_call_is_shown_when_it_begins() -> None:
    start = chunk(tool_calls=[{"index": 0, "id": "x1", "function": {"name": "look", "arguments": ""}}])

    assert dialect().reader().feed(start) == [ToolCallDelta(0, "x1", "look", "")]
