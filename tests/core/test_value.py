"""Values that are frozen for the type checker only."""

from __future__ import annotations

import pytest

from aimanager_server.core.response import SettingWarning
from aimanager_server.core.usage import Usage
from aimanager_server.core.value import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A value."""

    x: int
    y: int = 0


@dataclass(slots=True, eq=False)
class Entity:
    """An object with an identity."""

    x: int


def test_equal_values_have_equal_hashes() -> None:
    assert Point(1) == Point(1, 0)
    assert {Point(1), Point(1, 0), Point(2)} == {Point(1), Point(2)}
    assert len({Usage(1), Usage(1), SettingWarning("a", "b")}) == 2


def test_value_without_equality_is_hashed_by_identity() -> None:
    assert len({Entity(1), Entity(1)}) == 2


def test_value_has_no_attributes_besides_its_fields() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]  # the test


def test_assignment_is_an_error_of_the_type_checker_only() -> None:
    point = Point(1)

    point.x = 2  # type: ignore[misc]  # the test

    assert point == Point(2)
