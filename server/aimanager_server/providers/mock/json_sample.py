"""Makes up the smallest JSON that fits a schema, so that the mock provider can answer in any shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ...core.content import JsonObjectFormat, OutputFormat

MOST_DEPTH = 32
"""A schema that contains itself without a way out is left at this depth."""

MOST_SCHEMAS = 1_000
"""Schemas that are looked at, references followed, and items of a list; what lies beyond is left out."""

LONGEST_TEXT = 10_000


def sample_of(wanted: OutputFormat) -> str:
    """JSON in the shape that is asked for. Patterns, formats and what contradicts itself are beyond it.

    >>> from ..content import SchemaFormat
    >>> sample_of(SchemaFormat("a", '{"properties": {"n": {"minimum": 3}, "x": {}}, "required": ["n"]}'))
    '{"n":3}'
    """
    if isinstance(wanted, JsonObjectFormat):
        return '{"answer":"This is JSON."}'
    schema = from_json(wanted.schema_json)
    return to_json(_Sampler(schema).sample(schema)).decode()


class _Sampler:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = MOST_SCHEMAS

    def sample(self, schema: Any, depth: int = 0) -> Any:
        if not isinstance(schema, dict) or depth > MOST_DEPTH or self._left <= 0:
            return None
        schema = self._flat(schema, depth)
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        if schema.get("enum"):
            return schema["enum"][0]
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self.sample(min(schema[keyword], key=_simplicity), depth + 1)
        return self._of_type(schema, depth)

    def _flat(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """With what it refers to and what else has to hold put in."""
        self._left -= 1
        others = list(schema.get("allOf", ()))
        if "$ref" in schema:
            others.append(_pointed(self._root, schema["$ref"]))
        for other in others:
            if isinstance(other, dict) and depth < MOST_DEPTH and self._left > 0:
                schema = {**self._flat(other, depth + 1), **schema}
        return schema

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        match _type_of(schema):
            case "object":
                properties = schema.get("properties", {})
                return {name: self.sample(properties.get(name), depth + 1) for name in schema.get("required", ())}
            case "array":
                return [self.sample(schema.get("items"), depth + 1)] * min(int(schema.get("minItems", 0)), MOST_SCHEMAS)
            case "string":
                length = min(int(schema.get("minLength", 0)), LONGEST_TEXT)
                return "text".ljust(length, ".")[: int(schema.get("maxLength", LONGEST_TEXT))]
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case _:
                return None


def _type_of(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return str(kinds[0])
    if kinds is None:
        keywords = {"properties": "object", "required": "object", "items": "array", "minimum": "number"}
        kinds = next((kind for keyword, kind in keywords.items() if keyword in schema), "string")
    return str(kinds)


def _number(schema: Mapping[str, Any]) -> int | float:
    step: int | float = schema.get("multipleOf", 1)
    least: int | float = schema.get("minimum", schema.get("exclusiveMinimum", min(0, schema.get("maximum", 0))))
    number: int | float = -(-least // step) * step
    return number + step if number == schema.get("exclusiveMinimum") else number


def _simplicity(schema: Any) -> int:
    """What needs no further schemas comes first, so that a schema which contains itself ends."""
    return len(to_json(schema)) if isinstance(schema, dict) and "$ref" not in schema else 1_000_000


def _pointed(root: Any, reference: str) -> Any:
    found = root
    for step in filter(None, reference.removeprefix("#").split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found
