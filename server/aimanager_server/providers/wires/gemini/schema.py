"""Writes JSON schemas as Gemini reads them: with what they refer to put in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOCAL = "#/"
DEFINITIONS = ("$defs", "definitions")
MOST_NODES = 20_000
"""Values of the written-out schema, however few the references that were put in place."""

MOST_COPIES = 1000
"""References put in place. A schema that needs more doubles at every level and would grow beyond all bounds."""


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without local references; one that contains itself, or needs too many copies, is left as it is.

    >>> inlined({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}})
    {'type': 'string'}
    """
    try:
        written: dict[str, Any] = _Inliner(schema).written(schema, ())
    except _CannotInline:
        return dict(schema)
    return {name: value for name, value in written.items() if name not in DEFINITIONS}


class _Inliner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = MOST_COPIES
        self._nodes = MOST_NODES

    def written(self, value: Any, inside: tuple[str, ...]) -> Any:
        self._nodes -= 1
        if self._nodes < 0:
            raise _CannotInline
        if isinstance(value, list):
            return [self.written(item, inside) for item in value]
        if not isinstance(value, Mapping):
            return value
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return {name: self.written(item, inside) for name, item in value.items()}
        if reference in inside or self._left == 0:
            raise _CannotInline
        self._left -= 1
        beside = {name: item for name, item in value.items() if name != "$ref"}
        target = self.written(self._found(reference), (*inside, reference))
        return {**target, **self.written(beside, inside)} if isinstance(target, Mapping) else target

    def _found(self, reference: str) -> Any:
        if not reference.startswith(LOCAL):
            raise _CannotInline
        found: Any = self._root
        for step in reference.removeprefix(LOCAL).split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise _CannotInline
            found = found[name]
        return found


class _CannotInline(Exception):
    """The schema has to keep its references."""
