"""Inline the references of a JSON Schema, because Gemini does not resolve them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

REFERENCE = "$ref"
LOCAL_PREFIX = "#/"
DEFINITIONS = ("$defs", "definitions")
MAX_NODES = 30_000
"""The maximum number of values in the inlined schemas of a request. Schemas without references do not count."""

MAX_EXPANSIONS = 1000
"""The maximum number of inlined references in them. It bounds schemas that double in size at every level."""


class ReferenceInliner:
    """Inline the references of all schemas of one request, which share the limits."""

    def __init__(self) -> None:
        self.expansions_left = MAX_EXPANSIONS
        self.nodes_left = MAX_NODES

    def inline(self, schema_json: str) -> dict[str, Any]:
        """Return the schema without local references; unchanged if it is recursive or exceeds a limit.

        >>> ReferenceInliner().inline('{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}')
        {'type': 'string'}
        """
        schema: dict[str, Any] = from_json(schema_json)
        if REFERENCE not in schema_json:
            return schema
        try:
            inlined: dict[str, Any] = _SchemaInliner(schema, self).inline(schema, ())
        except _CannotInline:
            return schema
        return {name: value for name, value in inlined.items() if name not in DEFINITIONS}


class _SchemaInliner:
    def __init__(self, root: Mapping[str, Any], limits: ReferenceInliner) -> None:
        self._root = root
        self._limits = limits

    def inline(self, value: Any, path: tuple[str, ...]) -> Any:
        self._limits.nodes_left -= 1
        if self._limits.nodes_left < 0:
            raise _CannotInline
        if isinstance(value, list):
            return [self.inline(item, path) for item in value]
        if not isinstance(value, Mapping):
            return value
        reference = value.get(REFERENCE)
        if not isinstance(reference, str):
            return {name: self.inline(item, path) for name, item in value.items()}
        if reference in path or self._limits.expansions_left == 0:
            raise _CannotInline
        self._limits.expansions_left -= 1
        siblings = {name: item for name, item in value.items() if name != REFERENCE}
        target = self.inline(self._resolve(reference), (*path, reference))
        return {**target, **self.inline(siblings, path)} if isinstance(target, Mapping) else target

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith(LOCAL_PREFIX):
            raise _CannotInline
        found: Any = self._root
        for step in reference.removeprefix(LOCAL_PREFIX).split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise _CannotInline
            found = found[name]
        return found


class _CannotInline(Exception):
    """The schema must keep its references."""
