"""Tells how deep JSON is nested, before anything walks it by recursion."""

from __future__ import annotations

from typing import Any


def is_deeper(value: Any, levels: int) -> bool:
    """Whether JSON is nested deeper than that; found without recursion, level by level.

    >>> is_deeper({"a": [1]}, 2), is_deeper({"a": [{}]}, 2)
    (False, True)
    """
    layer = [value]
    for _ in range(levels + 1):
        containers = [item for item in layer if isinstance(item, dict | list)]
        if not containers:
            return False
        layer = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True
