"""Fragments become numbered parts."""

from __future__ import annotations

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.response import PartCompleted, ReasoningDelta, TextDelta, ToolCallDelta
from aimanager_server.providers.wires.dialect import Parts


def test_adjacent_fragments_of_one_part_become_one_event() -> None:
    parts = Parts()

    for fragment in ("Hel", "lo", ""):
        parts.text("t", fragment)

    assert parts.drain() == [TextDelta(0, "Hello")]


def test_fragments_of_another_drain_are_another_event_of_the_same_part() -> None:
    parts = Parts()
    parts.reasoning("r", "a")
    first = parts.drain()

    parts.reasoning("r", "b")
    parts.complete_all()

    assert (first, parts.drain()) == (
        [ReasoningDelta(0, "a")],
        [ReasoningDelta(0, "b"), PartCompleted(0, Reasoning("ab"))],
    )


def test_a_part_that_shows_nothing_is_no_part() -> None:
    parts = Parts()

    parts.text("empty", "")
    parts.reasoning("hidden", "")
    parts.text("t", "x")
    parts.complete_all()

    assert parts.drain() == [TextDelta(0, "x"), PartCompleted(0, Text("x"))]


def test_state_keeps_a_part_alive_that_shows_nothing_else() -> None:
    parts = Parts()

    parts.redacted("a", b"secret")
    parts.state("b", Text, b"")
    parts.state("c", Reasoning, b"signature")
    parts.complete_all()

    assert parts.drain() == [
        PartCompleted(0, Reasoning("", True, b"secret")),
        PartCompleted(1, Reasoning("", False, b"signature")),
    ]


def test_completing_twice_or_what_never_was_does_nothing() -> None:
    parts = Parts()
    parts.text("t", "x")

    parts.complete("t")
    parts.complete("t")
    parts.complete("never")

    assert parts.drain() == [TextDelta(0, "x"), PartCompleted(0, Text("x"))]


def test_a_tool_call_shows_id_and_name_first_and_then_fragments() -> None:
    parts = Parts()

    parts.tool("a", "id-a", "look", "")
    parts.tool("a", "id-x", "other", '{"x"')
    began = parts.drain()
    parts.tool("a", "", "", ":1}")
    parts.tool("a", "", "", "")
    parts.complete("a")

    assert began == [ToolCallDelta(0, "id-a", "look", '{"x"')]
    assert parts.drain() == [ToolCallDelta(0, "", "", ":1}"), PartCompleted(0, ToolCall("id-a", "look", '{"x":1}'))]
    assert parts.tool_calls == 1


def test_a_tool_call_without_id_gets_one_and_a_late_name_counts() -> None:
    parts = Parts()

    parts.tool("a", "", "", "{")
    parts.tool("a", "", "look", "}")
    parts.complete_all()

    began, completed = parts.drain()
    assert isinstance(began, ToolCallDelta)
    assert began.id.startswith("call_")
    assert completed == PartCompleted(0, ToolCall(began.id, "look", "{}"))


def test_state_of_a_tool_call_may_come_before_its_name() -> None:
    parts = Parts()

    parts.state("a", ToolCall, b"signature")
    parts.tool("a", "id-a", "look", "")
    parts.complete_all()

    assert parts.drain() == [
        ToolCallDelta(0, "id-a", "look", ""),
        PartCompleted(0, ToolCall("id-a", "look", "{}", b"signature")),
    ]


def test_a_surrogate_pair_split_over_two_fragments_is_one_sign() -> None:
    parts = Parts()

    parts.text("t", "a\ud83d")
    parts.text("t", "\ude00b")
    parts.complete_all()

    assert parts.drain() == [TextDelta(0, "a😀b"), PartCompleted(0, Text("a😀b"))]


@pytest.mark.parametrize("lost", ["\ud83d", "\ude00"])  # noqa: PT014  ruff sees both halves alike
def test_half_a_sign_that_stays_alone_is_replaced(lost: str) -> None:
    parts = Parts()

    parts.text("t", lost)
    parts.tool("a", "id-a", "look", lost)
    parts.complete_all()

    shown = {event.index: event.part for event in parts.drain() if isinstance(event, PartCompleted)}
    assert sorted(map(repr, shown.values())) == sorted(map(repr, (Text("\ufffd"), ToolCall("id-a", "look", "\ufffd"))))
