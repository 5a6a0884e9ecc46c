"""Generate the smallest JSON that satisfies a schema, so that the mock provider supports structured output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from ...core.content import JsonObjectFormat, OutputFormat
from ...validation.json_schema import resolve_reference

MAX_DEPTH = 32
"""Limit for recursive schemas."""

MAX_COST = 100_000
"""Limit for the characters of the sample and the keywords of visited schemas. Anything beyond it is omitted."""

VISIT_COST = 100
"""Cost of visiting one schema."""


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
        self._remaining_cost = MAX_COST
        self._complexities: dict[int, int] = {}

    def sample(self, schema: Any, depth: int = 0) -> Any:
        if not isinstance(schema, dict) or depth > MAX_DEPTH or not self._spend(VISIT_COST):
            return None
        schema = self._merge_subschemas(schema, depth)
        for keyword in ("const", "default"):
            if keyword in schema:
                return self._affordable(schema[keyword])
        if schema.get("enum"):
            return self._affordable(schema["enum"][0])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self.sample(self._simplest(schema[keyword]), depth + 1)
        return self._sample_type(schema, depth)

    def _spend(self, cost: int) -> bool:
        """Return whether the cost is within what remains, and deduct it."""
        if cost > self._remaining_cost:
            return False
        self._remaining_cost -= cost
        return True

    def _affordable(self, value: Any) -> Any:
        return value if self._spend(len(to_json(value))) else None

    def _merge_subschemas(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Return the schema merged with its `$ref` and `allOf` schemas."""
        others = list(schema.get("allOf", ()))
        reference = schema.get("$ref", "")
        if reference and self._spend(len(reference)):
            others.append(resolve_reference(self._root, reference))
        for other in others:
            if isinstance(other, dict) and depth < MAX_DEPTH and self._spend(VISIT_COST + len(other) + len(schema)):
                schema = {**self._merge_subschemas(other, depth + 1), **schema}
        return schema

    def _sample_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        match _type_of(schema):
            case "object":
                properties = schema.get("properties", {})
                required = (name for name in schema.get("required", ()) if self._spend(len(name)))
                return {name: self.sample(properties.get(name), depth + 1) for name in required}
            case "array":
                return self._sample_array(schema, depth)
            case "string":
                length = min(int(schema.get("minLength", 0)), int(schema.get("maxLength", MAX_COST)), MAX_COST)
                return self._affordable("text".ljust(length, ".")[: int(schema.get("maxLength", MAX_COST))])
            case "integer" | "number":
                return _sample_number(schema)
            case "boolean":
                return True
            case _:
                return None

    def _sample_array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        count = min(int(schema.get("minItems", 0)), MAX_COST)
        item = self.sample(schema.get("items"), depth + 1)
        size = len(to_json(item)) + 1
        affordable = min(count, self._remaining_cost // size)
        self._spend(affordable * size)
        return [item] * affordable

    def _simplest(self, schemas: Sequence[Any]) -> Any:
        return min(schemas, key=self._complexity) if self._spend(len(schemas)) else None

    def _complexity(self, schema: Any) -> int:
        """Rank schemas without references first, so that recursive schemas terminate."""
        known = self._complexities.get(id(schema))
        if known is None:
            known = len(to_json(schema)) if isinstance(schema, dict) and "$ref" not in schema else 1_000_000
            self._complexities[id(schema)] = known
        return known


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
    try:
        number: int | float = -(-minimum // step) * step
    except OverflowError:  # an integer that is too large for a float
        return minimum
    return number + step if number == schema.get("exclusiveMinimum") else number
