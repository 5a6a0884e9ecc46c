"""JSON Schemas are rewritten under the rules of each provider, or rejected."""

import json
import time
from typing import Any

import pytest

from aimanager_server.core.content import JsonSchemaFormat
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.providers.wires.json_schema import (
    ANTHROPIC,
    OPENAI,
    SchemaRules,
    UnsupportedSchema,
    native_schema,
    rewrite_schema,
)

TEXT = {"type": "string"}
DATE = {**TEXT, "format": "date"}
ANNOTATED = {**TEXT, "description": "d"}
NULLABLE = {"anyOf": [TEXT, {"type": "null"}]}
CLOSED = {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False}


BOTH_RULES = {"anthropic": ANTHROPIC, "openai": OPENAI}

REWRITTEN: list[tuple[Any, Any]] = [
    (CLOSED, CLOSED),
    ({"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, CLOSED),
    ({"properties": {"a": TEXT}, "required": ["a"]}, CLOSED),
    ({**CLOSED, "$schema": "x", "$id": "y", "default": {}, "title": "T"}, {**CLOSED, "title": "T"}),
    (
        {**CLOSED, "properties": {"a": {**TEXT, "format": "date"}}},
        {**CLOSED, "properties": {"a": {**TEXT, "format": "date"}}},
    ),
    ({**CLOSED, "properties": {"a": {**TEXT, "format": "uri-template"}}}, CLOSED),
    (
        {**CLOSED, "properties": {"a": {"allOf": [TEXT], "description": "d"}}},
        {**CLOSED, "properties": {"a": ANNOTATED}},
    ),
    (
        {**CLOSED, "properties": {"a": {"$ref": "#/$defs/t", "description": "d"}}, "$defs": {"t": TEXT}},
        {**CLOSED, "properties": {"a": {"$ref": "#/$defs/t"}}, "$defs": {"t": TEXT}},
    ),
    ({"$ref": "#/$defs/t", "$defs": {"t": CLOSED}}, {**CLOSED, "$defs": {"t": CLOSED}}),
    (
        {**CLOSED, "properties": {"a": {"type": "array", "items": {"type": ["integer", "null"]}}}},
        {**CLOSED, "properties": {"a": {"type": "array", "items": {"type": ["integer", "null"]}}}},
    ),
    ({**CLOSED, "properties": {"a": {"enum": [1, "b"]}}}, {**CLOSED, "properties": {"a": {"enum": [1, "b"]}}}),
    ({**CLOSED, "properties": {"a": {"const": 1}}}, {**CLOSED, "properties": {"a": {"const": 1}}}),
    ({**CLOSED, "properties": {"a": NULLABLE}}, {**CLOSED, "properties": {"a": NULLABLE}}),
    (
        {"type": "object", "additionalProperties": False},
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    ),
]


def test_schema_is_closed_and_annotations_are_dropped() -> None:
    wrong = [
        (name, schema)
        for name, rules in BOTH_RULES.items()
        for schema, rewritten in REWRITTEN
        if rewrite_schema(schema, rules) != rewritten
    ]

    assert wrong == []


INEXPRESSIBLE: list[tuple[Any, str]] = [
    ({}, "a subschema accepts any value"),
    (True, "a subschema accepts any value"),
    ({"description": "anything"}, "a subschema accepts any value"),
    ({"type": "array"}, "a subschema accepts any value"),
    ({"type": "object"}, "properties with any name"),
    ({"type": "object", "additionalProperties": TEXT}, "properties with any name"),
    (
        {"type": "object", "properties": {"b": TEXT}, "additionalProperties": True},
        "properties with any name",
    ),
    ({"oneOf": [TEXT]}, "'oneOf' is not supported"),
    ({**TEXT, "minLength": 1}, "'minLength' is not supported"),
    ({"type": "array", "prefixItems": [TEXT]}, "'prefixItems' is not supported"),
    ({"$ref": "#/$defs/t", "minLength": 1}, "'minLength' is not supported"),
]


@pytest.mark.parametrize("rules", BOTH_RULES.values(), ids=BOTH_RULES)
def test_inexpressible_schema_is_rejected(rules: SchemaRules) -> None:
    for value, message in INEXPRESSIBLE:
        schema = {**CLOSED, "properties": {"a": value}, "$defs": {"t": TEXT}}

        with pytest.raises(UnsupportedSchema, match=message):
            rewrite_schema(schema, rules)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"type": "integer", "minimum": 1}, "'minimum' is not supported"),
        ({**TEXT, "pattern": "a"}, "'pattern' is not supported"),
        ({"$ref": "#"}, "is recursive"),
        ({"$ref": "#/$defs/n"}, "is recursive"),
        ({"allOf": [{"$ref": "#/$defs/t"}, TEXT]}, "'allOf' is not supported here"),
    ],
)
def test_anthropic_rejects_constraints_and_recursion(value: Any, message: str) -> None:
    recursive = {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}, "type": "object"}
    schema = {**CLOSED, "properties": {"a": value}, "$defs": {"t": TEXT, "n": recursive}}

    with pytest.raises(UnsupportedSchema, match=message):
        rewrite_schema(schema, ANTHROPIC)


def test_anthropic_accepts_all_of_and_repeated_references() -> None:
    twice = {"$ref": "#/$defs/t"}
    schema = {
        **CLOSED,
        "properties": {"a": {"allOf": [TEXT, {"enum": ["x"]}]}, "b": twice, "c": {"type": "array", "items": twice}},
        "$defs": {"t": TEXT},
    }

    assert rewrite_schema(schema, ANTHROPIC)["properties"] == schema["properties"]


def test_openai_accepts_constraints_and_recursion() -> None:
    node = {**CLOSED, "properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}
    schema = {**CLOSED, "properties": {"a": {"type": "integer", "minimum": 1}}, "$defs": {"n": node}}

    assert rewrite_schema(schema, OPENAI) == schema


@pytest.mark.parametrize(
    "value",
    [NULLABLE, {"type": ["string", "null"]}, {"enum": ["x", None]}, {"$ref": "#/$defs/m"}],
    ids=["any", "type", "enum", "ref"],
)
def test_openai_requires_nullable_properties(value: Any) -> None:
    schema = {"type": "object", "properties": {"a": value}, "$defs": {"m": NULLABLE}}

    assert rewrite_schema(schema, OPENAI)["required"] == ["a"]
    assert rewrite_schema(schema, ANTHROPIC)["required"] == []


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object", "properties": {"a": TEXT}}, "the optional property 'a' must accept null"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": True}}, "must accept null"),
        ({"type": "array", "items": TEXT}, "the root must be an object"),
        ({"anyOf": [CLOSED]}, "the root must be an object"),
        ({**CLOSED, "properties": {"a": {"allOf": [TEXT, TEXT]}}}, "'allOf' is not supported here"),
    ],
)
def test_openai_rejects_optional_properties_and_other_roots(schema: Any, message: str) -> None:
    with pytest.raises(UnsupportedSchema, match=message):
        rewrite_schema(schema, OPENAI)


def test_openai_limits_nesting() -> None:
    schema: dict[str, Any] = TEXT
    for _ in range(10):
        schema = {**CLOSED, "properties": {"a": schema}}

    with pytest.raises(UnsupportedSchema, match="limited to 10 levels"):
        rewrite_schema(schema, OPENAI)
    assert rewrite_schema(schema, ANTHROPIC) == schema


def test_rejected_schema_names_its_field() -> None:
    with pytest.raises(CapabilityUnsupported) as raised:
        native_schema(JsonSchemaFormat("answer", '{"type": "object"}'), ANTHROPIC)

    assert [field.field for field in raised.value.violations] == ["output_format.json_schema.schema_json"]


def test_long_reference_chain_is_rejected() -> None:
    chain = {f"d{n}": {"type": "array", "items": {"$ref": f"#/$defs/d{n + 1}"}} for n in range(2000)}
    schema = {**CLOSED, "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**chain, "d2000": TEXT}}

    with pytest.raises(CapabilityUnsupported):
        native_schema(JsonSchemaFormat("answer", json.dumps(schema)), ANTHROPIC)


def test_schema_of_the_caller_is_not_modified() -> None:
    schema = {"type": "object", "properties": {"a": NULLABLE}, "title": "T", "$comment": "c"}
    before = repr(schema)

    rewrite_schema(schema, OPENAI)

    assert repr(schema) == before


def test_rewriting_takes_time_in_proportion_to_the_schema() -> None:
    options = {f"a{level}": {"anyOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 50} for level in range(4)}
    multiplying = {**CLOSED, "properties": {"b": {"$ref": "#/$defs/a0"}}, "$defs": {**options, "a4": TEXT}}
    nullable = {str(number): {"type": "null"} for number in range(4_000)}
    wide = {**CLOSED, "properties": nullable, "required": [f"r{number}" for number in range(8_000)]}

    started = time.process_time()
    with pytest.raises(UnsupportedSchema, match="the optional property 'b' must accept null"):
        rewrite_schema(multiplying, OPENAI)
    rewrite_schema(wide, OPENAI)

    assert time.process_time() - started < 0.5
