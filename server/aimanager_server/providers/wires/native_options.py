"""Lays native options over a request body: the one way past what the gateway has words for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(body: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the options laid over it: objects are merged, None takes a field away, all else replaces.

    >>> merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": None})
    {'a': {'b': 9, 'c': 2}}
    """
    result = dict(body)
    for field, value in options.items():
        below = result.get(field)
        if value is None:
            result.pop(field, None)
        elif isinstance(below, Mapping) and isinstance(value, Mapping):
            result[field] = merged(below, value)
        else:
            result[field] = value
    return result
