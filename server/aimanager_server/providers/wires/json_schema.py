"""Rewrite a caller's JSON Schema under the rules of providers that guarantee schemas, or report why it cannot be.

The rewritten schema admits only values that the caller's schema admits. Objects become closed, and nullable properties
become required. A schema that only a change of meaning could express is not sent; without `strict`, the gateway then
asks for the format in the prompt and validates the response itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ...core.content import JsonSchemaFormat
from ...core.errors import CapabilityUnsupported, FieldViolation

Schema = Mapping[str, Any]

KEPT_ANNOTATIONS = ("title", "description")

ANNOTATIONS = frozenset(
    ("$comment", "$id", "$schema", "default", "deprecated", "discriminator", "examples", "readOnly", "writeOnly")
) | frozenset(KEPT_ANNOTATIONS)
"""Keywords without effect on validation. Most are dropped, because providers reject them."""

STRUCTURAL_KEYWORDS = frozenset(
    ("type", "properties", "required", "additionalProperties", "items", "enum", "const", "format", "anyOf", "allOf")
) | frozenset(("$ref", "$defs", "definitions"))

DEFINITIONS = ("$defs", "definitions")

MAX_REFERENCE_HOPS = 8


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """The subset of JSON Schema that a provider accepts.

    `extra_keywords` are accepted in addition to the structural ones. A `format` outside `formats` is dropped as an
    annotation. `max_depth` limits how deeply objects and lists may be nested.
    """

    extra_keywords: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    requires_all_properties: bool = False
    allows_recursion: bool = True
    allows_all_of: bool = False
    requires_object_root: bool = False
    max_depth: int | None = None


# https://platform.claude.com/docs/en/build-with-claude/structured-outputs, read 2026-11-22.
ANTHROPIC = SchemaRules(
    formats=frozenset(
        ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
    ),
    allows_recursion=False,
    allows_all_of=True,
)

# https://platform.openai.com/docs/guides/structured-outputs, read 2026-11-22.
OPENAI = SchemaRules(
    extra_keywords=frozenset(
        (
            *("pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
            *("minItems", "maxItems"),
        )
    ),
    formats=frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")),
    requires_all_properties=True,
    requires_object_root=True,
    max_depth=10,
)


class UnsupportedSchema(ValueError):
    """The rules cannot express the schema. The message states the reason."""


def native_schema(output_format: JsonSchemaFormat, rules: SchemaRules) -> dict[str, Any]:
    """Return the schema to send. Raises CapabilityUnsupported with the field if the rules cannot express it."""
    try:
        return rewrite_schema(from_json(output_format.schema_json), rules)
    except (UnsupportedSchema, RecursionError) as error:
        field = FieldViolation(
            "output_format.json_schema.schema_json", f"is not supported by the provider's structured output: {error}"
        )
        raise CapabilityUnsupported(
            f"{field.field} {field.description}.",
            solution="Change the schema, or set strict to false: the gateway then validates the response itself.",
            violations=(field,),
        ) from error


def unsupported_format(feature: str) -> CapabilityUnsupported:
    """Return the error for an output format that the wire cannot request natively.

    >>> unsupported_format("JSON schemas").violations[0].field
    'output_format'
    """
    return CapabilityUnsupported(
        f"The provider does not support {feature}.",
        violations=(FieldViolation("output_format", f"the provider does not support {feature}"),),
    )


def rewrite_schema(schema: Schema, rules: SchemaRules) -> dict[str, Any]:
    """Return the schema under the rules. Raises UnsupportedSchema if they cannot express it.

    >>> rewrite_schema({"properties": {"a": {"type": "string"}}, "required": ["a"]}, ANTHROPIC)
    {'type': 'object', 'properties': {'a': {'type': 'string'}}, 'required': ['a'], 'additionalProperties': False}
    """
    if not rules.allows_recursion:
        _reject_recursion(schema)
    root = _definition(schema, schema["$ref"]) if "$ref" in schema else None
    if isinstance(root, dict):
        schema = {**root, **{name: schema[name] for name in DEFINITIONS if name in schema}}
    if rules.requires_object_root and (schema.get("type", "object") != "object" or "anyOf" in schema):
        raise UnsupportedSchema("the root must be an object")
    return _SchemaRewriter(schema, rules).rewrite(schema, 1)


class _SchemaRewriter:
    def __init__(self, root: Schema, rules: SchemaRules) -> None:
        self._root = root
        self._rules = rules
        self._nullable_references: dict[str, bool] = {}

    def rewrite(self, schema: Any, depth: int) -> dict[str, Any]:
        if not isinstance(schema, dict) or not schema.keys() - ANNOTATIONS - set(DEFINITIONS):
            raise UnsupportedSchema("a subschema accepts any value")
        if self._rules.max_depth is not None and depth > self._rules.max_depth:
            raise UnsupportedSchema(f"nesting is limited to {self._rules.max_depth} levels")
        self._reject_unsupported_keywords(schema)
        if "$ref" in schema:
            return {"$ref": schema["$ref"], **self._definitions(schema, depth)}
        if len(schema.get("allOf", ())) == 1 and not schema.keys() - ANNOTATIONS - {"allOf"}:
            return {**self.rewrite(schema["allOf"][0], depth), **_annotations(schema)}
        result = {**_annotations(schema), **self._keywords(schema)}
        if "properties" in schema or "object" in _types(schema):
            result |= self._object(schema, depth)
        if "items" in schema or "array" in _types(schema):
            result["items"] = self.rewrite(schema.get("items"), depth + 1)
        for keyword in ("anyOf", "allOf"):
            if keyword in schema:
                result[keyword] = self._combined(keyword, schema[keyword], depth)
        return {**result, **self._definitions(schema, depth)}

    def _reject_unsupported_keywords(self, schema: Schema) -> None:
        unsupported = schema.keys() - ANNOTATIONS - STRUCTURAL_KEYWORDS - self._rules.extra_keywords
        if "$ref" in schema:
            unsupported = schema.keys() - ANNOTATIONS - {"$ref", *DEFINITIONS}
        if unsupported:
            raise UnsupportedSchema(f"{min(unsupported)!r} is not supported")

    def _keywords(self, schema: Schema) -> dict[str, Any]:
        names = ("type", "enum", "const", *sorted(self._rules.extra_keywords))
        kept = {name: schema[name] for name in names if name in schema}
        if schema.get("format") in self._rules.formats:
            kept["format"] = schema["format"]
        return kept

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False
        if not closed and ("additionalProperties" in schema or not properties):
            raise UnsupportedSchema("an object accepts properties with any name")
        required = list(schema.get("required", ()))
        if self._rules.requires_all_properties:
            required += self._optional_properties(properties, required)
        return {
            "type": schema.get("type", "object"),
            "properties": {name: self.rewrite(value, depth + 1) for name, value in properties.items()},
            "required": required,
            "additionalProperties": False,
        }

    def _optional_properties(self, properties: Schema, required: list[str]) -> Iterator[str]:
        names = set(required)
        for name, value in properties.items():
            if name in names:
                continue
            if not self._admits_null(value):
                raise UnsupportedSchema(f"the optional property {name[:64]!r} must accept null")
            yield name

    def _admits_null(self, schema: Any, hops: int = MAX_REFERENCE_HOPS) -> bool:
        if not isinstance(schema, dict) or not hops:
            return False
        if "$ref" in schema:
            return self._reference_admits_null(schema["$ref"], hops)
        if "null" in _types(schema) or None in schema.get("enum", ()):
            return True
        return any(self._admits_null(option, hops - 1) for option in schema.get("anyOf", ()))

    def _reference_admits_null(self, reference: str, hops: int) -> bool:
        """Follow each reference once: alternatives that refer to the same definitions would multiply."""
        if reference not in self._nullable_references:
            self._nullable_references[reference] = False
            found = _definition(self._root, reference)
            self._nullable_references[reference] = self._admits_null(found, hops - 1)
        return self._nullable_references[reference]

    def _combined(self, keyword: str, schemas: list[Any], depth: int) -> list[dict[str, Any]]:
        if keyword == "allOf" and (not self._rules.allows_all_of or any("$ref" in schema for schema in schemas)):
            raise UnsupportedSchema("'allOf' is not supported here")
        return [self.rewrite(schema, depth) for schema in schemas]

    def _definitions(self, schema: Schema, depth: int) -> dict[str, Any]:
        return {
            name: {key: self.rewrite(value, depth) for key, value in schema[name].items()}
            for name in DEFINITIONS
            if name in schema
        }


def _annotations(schema: Schema) -> dict[str, Any]:
    return {name: schema[name] for name in KEPT_ANNOTATIONS if name in schema}


def _types(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return types if isinstance(types, list) else [types]


def _definition(root: Schema, reference: str) -> Any:
    """Return the definition that a reference names; None if it points anywhere else."""
    start, _, name = reference.removeprefix("#/").partition("/")
    definitions = root.get(start, {}) if start in DEFINITIONS else {}
    return definitions.get(name.replace("~1", "/").replace("~0", "~"))


def _reject_recursion(root: Schema) -> None:
    """Follow all references depth-first. Raises UnsupportedSchema for a reference that is already on the path."""
    done: set[str] = set()

    def follow(schema: Any, path: tuple[str, ...]) -> None:
        for reference in _references(schema):
            found = _definition(root, reference)
            if reference in path or found is None:
                raise UnsupportedSchema(f"the reference {reference[:64]!r} is recursive or not a definition")
            if reference not in done:
                follow(found, (*path, reference))
                done.add(reference)

    follow({name: value for name, value in root.items() if name not in DEFINITIONS}, ())


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
