"""Parse JSON objects of bounded depth, so that later code may walk them recursively."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json


def exceeds_depth(value: Any, max_depth: int) -> bool:
    """Return whether objects and lists are nested deeper than `max_depth` levels, without recursion.

    >>> exceeds_depth({"a": [1]}, 2), exceeds_depth({"a": [{}]}, 2)
    (False, True)
    """
    level = [value]
    for _ in range(max_depth + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True


def parse_json_object(text: str, max_depth: int) -> dict[str, Any]:
    """Parse a JSON object of at most `max_depth` levels. Raises ValueError with the description of a violation."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError("must be valid JSON") from error
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    check_depth(value, max_depth)
    return value


def check_depth(value: object, max_depth: int) -> None:
    """Raise ValueError with the description of a violation if a JSON value is nested too deeply."""
    if exceeds_depth(value, max_depth):
        raise ValueError(f"must be nested at most {max_depth} levels deep")
