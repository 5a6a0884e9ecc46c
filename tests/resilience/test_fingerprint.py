"""Fingerprints: equal for equal values, different for different ones, and linear in their size."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimanager_server.core.content import Message, Role, Sampling, Text, Tool
from aimanager_server.resilience.fingerprint import LARGE_BYTES, SLICE_BYTES, Fingerprints

LARGE = "x" * (LARGE_BYTES + 1)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


class Color(StrEnum):
    RED = "user"


@dataclass
class Other:
    text: str
    provider_state: bytes


def digest(*values: Any) -> bytes:
    return asyncio.run(Fingerprints().digest(*values))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Sampling(seed=-1), Sampling(seed=-2)),
        (-1, -2),
        (1, 1.0),
        (1, True),
        (0, None),
        ("1", 1),
        ("a", b"a"),
        (LARGE, LARGE.encode()),
        (LARGE, (0, len(LARGE))),
        ("", None),
        (("a", "b"), ("ab",)),
        ((("a",), "b"), ("a", ("b",))),
        ([], {}),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (["a", "b", 1, 2], {"a": 1, "b": 2}),
        (Role.USER, "user"),
        (Role.USER, Color.RED),
        (Text("a"), Other("a", b"")),
        (Message(Role.USER, (Text("a"), Text("b"))), Message(Role.USER, (Text("ab"),))),
        (Tool("a", "b"), Tool("a", "", "b")),
    ],
)
def test_different_values_have_different_digests(first: Any, second: Any) -> None:
    assert digest(first) != digest(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": [1], "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": [1]}),
        (("a", ["b"]), ["a", ("b",)]),
        (Message(Role.USER, (Text("a"),)), Message(Role.USER, (Text("".join(["a"])),))),
        (LARGE, "".join(LARGE)),
    ],
)
def test_equal_values_have_equal_digests(first: Any, second: Any) -> None:
    assert digest(first) == digest(second)


@settings(derandomize=True, database=None, deadline=None)
@given(JSON, JSON)
def test_json_values_are_equal_if_their_digests_are(first: Any, second: Any) -> None:
    same_type_and_value = repr(first) == repr(second)

    assert not same_type_and_value or digest(first) == digest(second)
    assert first == second or digest(first) != digest(second)


async def test_other_tasks_run_while_a_large_value_is_hashed() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await Fingerprints().digest(Text("a"), bytes(5 * SLICE_BYTES))
    counting.cancel()

    assert turns >= 4
