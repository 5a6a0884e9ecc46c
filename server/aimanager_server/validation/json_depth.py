"""Parse JSON objects of bounded depth, so that later code may walk them recursively."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

_CONTAINERS = (dict, list)


def exceeds_depth(value: Any, max_depth: int) -> bool:
    """Return whether objects and lists are nested deeper than `max_depth` levels, without recursion.

    >>> exceeds_depth({"a": [1]}, 2), exceeds_depth({"a": [{}]}, 2)
    (False, True)
    """
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(max_depth):
        if not level:
            return False
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, _CONTAINERS)
        ]
    return bool(level)


def count_values(text: str | bytes) -> int:
    """Return the number of brackets and commas, which the number of values cannot exceed by more than one.

    It takes a millisecond a megabyte; parsing many small values takes a hundred times as long.

    >>> count_values('{"a": [1, 2], "b": {}}')
    5
    """
    if isinstance(text, bytes):
        return text.count(b"{") + text.count(b"[") + text.count(b",")
    return text.count("{") + text.count("[") + text.count(",")


def parse_json_object(text: str, max_depth: int) -> dict[str, Any]:
    """Parse a JSON object of at most `max_depth` levels. Raises ValueError with the description of a violation."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError("must be valid JSON") from error
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    # A text with fewer brackets is not nested more deeply.
    if text.count("{") + text.count("[") > max_depth:
        check_depth(value, max_depth)
    return value


def check_depth(value: object, max_depth: int) -> None:
    """Raise ValueError with the description of a violation if a JSON value is nested too deeply."""
    if exceeds_depth(value, max_depth):
        raise ValueError(f"must be nested at most {max_depth} levels deep")
