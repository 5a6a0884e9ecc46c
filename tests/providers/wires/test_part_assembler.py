"""Fragments are assembled into numbered parts."""

from __future__ import annotations

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import PartCompleted, ReasoningDelta, TextDelta, ToolCallDelta
from aimanager_server.providers.wires.part_assembler import (
    MAX_CALL_ID_LENGTH,
    MAX_PARTS,
    MAX_TOOL_NAME_LENGTH,
    PartAssembler,
)


def test_adjacent_fragments_are_merged() -> None:
    parts = PartAssembler()

    for fragment in ("Hel", "lo", ""):
        parts.add_text("t", fragment)

    assert parts.drain() == [TextDelta(0, "Hello")]


def test_fragments_after_a_drain_are_a_new_event() -> None:
    parts = PartAssembler()
    parts.add_reasoning("r", "a")
    first = parts.drain()

    parts.add_reasoning("r", "b")
    parts.complete_all()

    assert (first, parts.drain()) == (
        [ReasoningDelta(0, "a")],
        [ReasoningDelta(0, "b"), PartCompleted(0, Reasoning("ab"))],
    )


def test_part_without_content_is_dropped() -> None:
    parts = PartAssembler()

    parts.add_text("empty", "")
    parts.add_reasoning("hidden", "")
    parts.add_text("t", "x")
    parts.complete_all()

    assert parts.drain() == [TextDelta(0, "x"), PartCompleted(0, Text("x"))]


def test_part_with_only_state_is_kept() -> None:
    parts = PartAssembler()

    parts.add_redacted_reasoning("a", b"secret")
    parts.set_provider_state("b", Text, b"")
    parts.set_provider_state("c", Reasoning, b"signature")
    parts.complete_all()

    assert parts.drain() == [
        PartCompleted(0, Reasoning("", True, b"secret")),
        PartCompleted(1, Reasoning("", False, b"signature")),
    ]


def test_completing_an_unknown_slot_does_nothing() -> None:
    parts = PartAssembler()
    parts.add_text("t", "x")

    parts.complete("t")
    parts.complete("t")
    parts.complete("never")

    assert parts.drain() == [TextDelta(0, "x"), PartCompleted(0, Text("x"))]


def test_tool_call_emits_id_and_name_first() -> None:
    parts = PartAssembler()

    parts.add_tool_call("a", "id-a", "look", "")
    parts.add_tool_call("a", "id-x", "other", '{"x"')
    started = parts.drain()
    parts.add_tool_call("a", "", "", ":1}")
    parts.add_tool_call("a", "", "", "")
    parts.complete("a")

    assert started == [ToolCallDelta(0, "id-a", "look", '{"x"')]
    assert parts.drain() == [ToolCallDelta(0, "", "", ":1}"), PartCompleted(0, ToolCall("id-a", "look", '{"x":1}'))]
    assert parts.tool_calls == 1


def test_tool_call_without_an_id_gets_one() -> None:
    parts = PartAssembler()

    parts.add_tool_call("a", "", "", "{")
    parts.add_tool_call("a", "", "look", "}")
    parts.complete_all()

    started, completed = parts.drain()
    assert isinstance(started, ToolCallDelta)
    assert started.id.startswith("call_")
    assert completed == PartCompleted(0, ToolCall(started.id, "look", "{}"))


def test_state_may_precede_its_tool_call() -> None:
    parts = PartAssembler()

    parts.set_provider_state("a", ToolCall, b"signature")
    parts.add_tool_call("a", "id-a", "look", "")
    parts.complete_all()

    assert parts.drain() == [
        ToolCallDelta(0, "id-a", "look", ""),
        PartCompleted(0, ToolCall("id-a", "look", "{}", b"signature")),
    ]


def test_split_surrogate_pair_is_joined() -> None:
    parts = PartAssembler()

    parts.add_text("t", "a\ud83d")
    parts.add_text("t", "\ude00b")
    parts.complete_all()

    assert parts.drain() == [TextDelta(0, "a😀b"), PartCompleted(0, Text("a😀b"))]


@pytest.mark.parametrize("surrogate", ["\ud83d", "\ude00"])  # noqa: PT014  ruff considers both surrogates equal
def test_lone_surrogate_is_replaced(surrogate: str) -> None:
    parts = PartAssembler()

    parts.add_text("t", surrogate)
    parts.add_tool_call("a", "id-a", "look", surrogate)
    parts.complete_all()

    completed = {event.index: event.part for event in parts.drain() if isinstance(event, PartCompleted)}
    assert sorted(map(repr, completed.values())) == sorted(
        map(repr, (Text("\ufffd"), ToolCall("id-a", "look", "\ufffd")))
    )


def test_a_response_of_many_parts_is_rejected() -> None:
    parts = PartAssembler()
    for number in range(MAX_PARTS):
        parts.add_tool_call(number, "", "look", "{}")

    for add in (parts.add_text, parts.add_reasoning, lambda slot, text: parts.add_tool_call(slot, "", "look", text)):
        with pytest.raises(ProviderProtocolError, match="limit of 1000 parts"):
            add("one more", "x")


def test_tool_call_without_a_name_is_a_protocol_error() -> None:
    parts = PartAssembler()
    parts.add_tool_call("a", "id-a", " ", "{}")

    with pytest.raises(ProviderProtocolError, match="without a name"):
        parts.complete("a")


@pytest.mark.parametrize(("what", "limit"), [("id", MAX_CALL_ID_LENGTH), ("name", MAX_TOOL_NAME_LENGTH)])
def test_a_tool_call_with_a_very_long_id_or_name_is_a_protocol_error(what: str, limit: int) -> None:
    parts = PartAssembler()
    words = {"call_id": "x", "name": "look"}
    field = "call_id" if what == "id" else "name"

    parts.add_tool_call("a", fragment="", **{**words, field: "x" * limit})
    message = f"The {what} of a tool call exceeds the limit of {limit} characters; the provider sent {limit + 1}."
    with pytest.raises(ProviderProtocolError, match=message):
        parts.add_tool_call("b", fragment="", **{**words, field: "x" * (limit + 1)})


def test_many_fragments_of_a_tool_call_are_joined_once() -> None:
    parts = PartAssembler()
    for _ in range(1000):
        parts.add_tool_call("a", "x", "look", "12")

    assert parts.drain() == [ToolCallDelta(0, "x", "look", "12" * 1000)]
