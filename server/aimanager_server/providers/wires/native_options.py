"""Merge native provider options into a request body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def deep_merge(body: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with the options merged in: objects merge, None removes a field, other values replace it.

    >>> deep_merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": None})
    {'a': {'b': 9, 'c': 2}}
    """
    result = dict(body)
    for field, value in options.items():
        current = result.get(field)
        if value is None:
            result.pop(field, None)
        elif isinstance(current, Mapping) and isinstance(value, Mapping):
            result[field] = deep_merge(current, value)
        else:
            result[field] = value
    return result
