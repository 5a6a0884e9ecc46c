"""Generate the smallest JSON that satisfies a schema, so that the mock provider supports structured output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from ...core.content import JsonObjectFormat, OutputFormat

MAX_DEPTH = 32
"""Limit for recursive schemas."""

MAX_SCHEMAS = 1_000
"""Limit for visited schemas, including resolved references, and for list items. Anything beyond it is omitted."""

MAX_STRING_LENGTH = 10_000


def sample_json(output_format: OutputFormat) -> str:
    """Return JSON in the requested format. `pattern`, `format` and contradictory schemas are not supported.

    >>> from ...core.content import JsonSchemaFormat
    >>> schema = '{"properties": {"n": {"minimum": 3}, "x": {}}, "required": ["n"]}'
    >>> sample_json(JsonSchemaFormat("a", schema))
    '{"n":3}'
    """
    if isinstance(output_format, JsonObjectFormat):
        return '{"answer":"This is JSON."}'
    schema = from_json(output_format.schema_json)
    return to_json(_Sampler(schema).sample(schema)).decode()


class _Sampler:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._remaining_schemas = MAX_SCHEMAS

    def sample(self, schema: Any, depth: int = 0) -> Any:
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._remaining_schemas <= 0:
            return None
        schema = self._merge_subschemas(schema, depth)
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        if schema.get("enum"):
            return schema["enum"][0]
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self.sample(min(schema[keyword], key=_complexity), depth + 1)
        return self._sample_type(schema, depth)

    def _merge_subschemas(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Return the schema merged with its `$ref` and `allOf` schemas."""
        self._remaining_schemas -= 1
        others = list(schema.get("allOf", ()))
        if "$ref" in schema:
            others.append(_dereference(self._root, schema["$ref"]))
        for other in others:
            if isinstance(other, dict) and depth < MAX_DEPTH and self._remaining_schemas > 0:
                schema = {**self._merge_subschemas(other, depth + 1), **schema}
        return schema

    def _sample_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        match _type_of(schema):
            case "object":
                properties = schema.get("properties", {})
                return {name: self.sample(properties.get(name), depth + 1) for name in schema.get("required", ())}
            case "array":
                return [self.sample(schema.get("items"), depth + 1)] * min(int(schema.get("minItems", 0)), MAX_SCHEMAS)
            case "string":
                length = min(int(schema.get("minLength", 0)), MAX_STRING_LENGTH)
                return "text".ljust(length, ".")[: int(schema.get("maxLength", MAX_STRING_LENGTH))]
            case "integer" | "number":
                return _sample_number(schema)
            case "boolean":
                return True
            case _:
                return None


def _type_of(schema: Mapping[str, Any]) -> str:
    types = schema.get("type")
    if isinstance(types, list):
        return str(types[0])
    if types is None:
        keywords = {"properties": "object", "required": "object", "items": "array", "minimum": "number"}
        types = next((type_name for keyword, type_name in keywords.items() if keyword in schema), "string")
    return str(types)


def _sample_number(schema: Mapping[str, Any]) -> int | float:
    step: int | float = schema.get("multipleOf", 1)
    minimum: int | float = schema.get("minimum", schema.get("exclusiveMinimum", min(0, schema.get("maximum", 0))))
    number: int | float = -(-minimum // step) * step
    return number + step if number == schema.get("exclusiveMinimum") else number


def _complexity(schema: Any) -> int:
    """Rank schemas without references first, so that recursive schemas terminate."""
    return len(to_json(schema)) if isinstance(schema, dict) and "$ref" not in schema else 1_000_000


def _dereference(root: Any, reference: str) -> Any:
    found = root
    for step in filter(None, reference.removeprefix("#").split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found
