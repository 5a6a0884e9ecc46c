"""Validation of the JSON Schema of an output format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat, Message, OutputFormat, Role, Text
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.request import Caller, GenerateParams
from aimanager_server.validation.json_schema import (
    MAX_SUBSCHEMAS,
    find_schema_problem,
    resolve_reference,
)
from aimanager_server.validation.output_format import MAX_SCHEMA_LENGTH
from aimanager_server.validation.patterns import MAX_PATTERNS
from aimanager_server.validation.request import RequestValidator

PROMPT = (Message(Role.USER, (Text("Hi"),)),)
FIELD = "output_format.json_schema.schema_json"

VALID = [
    {},
    {"type": "object", "properties": {"a": {"type": ["string", "null"], "minLength": 1}}, "required": ["a"]},
    {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
    {"definitions": {"a/b": True}, "properties": {"x": {"$ref": "#/definitions/a~1b"}}},
    {"anyOf": [{"const": 1}, {"enum": ["a", None]}], "items": {"$ref": "#/anyOf/0"}},
    {"$id": "https://example.com/a", "$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": "x"},
    {"patternProperties": {"^x": False}, "dependentRequired": {"a": ["b"]}, "pattern": "a+"},
    {"unheardOf": 1, "default": {"type": 7}, "multipleOf": 0.1, "uniqueItems": True, "maximum": -1.5},
]

INVALID: list[tuple[Any, str]] = [
    ("", "must be valid JSON"),
    ("{", "must be valid JSON"),
    ("[]", "must be a JSON object"),
    ("true", "must be a JSON object"),
    ({"type": "text"}, "'/type' must be one or more of array"),
    ({"type": []}, "'/type' must be one or more of"),
    ({"properties": []}, "'/properties' must be an object whose values are schemas"),
    ({"properties": {"a": 1}}, "'/properties/a' must be a schema"),
    ({"items": [{}]}, "'/items' must be a schema"),
    ({"anyOf": {}}, "'/anyOf' must be a non-empty list of schemas"),
    ({"anyOf": []}, "'/anyOf' must be a non-empty list of schemas"),
    ({"required": "a"}, "'/required' must be a list of strings"),
    ({"dependentRequired": {"a": "b"}}, "must be an object whose values are lists of strings"),
    ({"minimum": True}, "'/minimum' must be a number"),
    ({"minLength": -1}, "'/minLength' must be a non-negative integer"),
    ({"minLength": 0.5}, "'/minLength' must be a non-negative integer"),
    ({"multipleOf": 0}, "'/multipleOf' must be a number greater than 0"),
    ({"uniqueItems": 1}, "must be true or false"),
    ({"enum": "a"}, "must be a list"),
    ({"$ref": 1}, "must be a string"),
    ({"$ref": "https://example.com/schema"}, "must point to a schema inside this document"),
    ({"$ref": "file:///etc/passwd"}, "must point to a schema inside this document"),
    ({"$ref": "#/$defs/none"}, "must point to a schema inside this document"),
    ({"$ref": "#/$defs", "$defs": {"a": 1}}, "must be a schema"),
    ({"properties": {"a": {"$id": "b"}}}, "'/properties/a/$id' is an unsupported keyword"),
    ({"$dynamicRef": "#a"}, "is an unsupported keyword"),
    ({"unevaluatedProperties": False}, "is an unsupported keyword"),
    ({"pattern": "(?=a)"}, "without look-around or back-references"),
    ({"pattern": r"(a)\1"}, "without look-around or back-references"),
    ({"pattern": "((a{0,100}){0,100}){0,100}"}, "must have at most 10000 states when compiled, estimated 2030342"),
    ({"pattern": r"(?:\w{1,100}x){2}"}, "or use [0-9A-Za-z_] for \\w"),
    ({"properties": {str(each): {"pattern": rf"\w{{12}}{each}"} for each in range(3)}}, "all patterns in a schema"),
    ({"pattern": "(?x) a {1000} {1000}"}, "must not use the flag x"),
    ({"$ref": "#/x-schema", "x-schema": {"pattern": r"\w{1000}"}}, "'/$ref/pattern' must have at most 10000 states"),
    ({"$ref": "#/x-schema", "x-schema": {"type": 1}}, "'/$ref/type' must be one or more of"),
    ({"$ref": "#/allOf/" + "9" * 900, "allOf": [{}]}, "must point to a schema inside this document"),
    ({"$ref": "#/" + "a" * 999}, "must have at most 1000 characters, got 1001"),
    ('{"minLength": 1e999}', "must be a non-negative integer"),
    ({"pattern": "a" * 1001}, "must have patterns of at most 1000 characters, got 1001"),
    ({"patternProperties": {"(": True}}, "must be a valid regular expression"),
]


def violations(output_format: OutputFormat, messages: tuple[Message, ...] = PROMPT) -> dict[str, str]:
    params = GenerateParams(messages, output_format=output_format)
    try:
        RequestValidator(Limits(), {}, max_call_seconds=1200.0)(params, Caller("ann"))
    except InvalidRequest as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def schema_format(schema: Any) -> JsonSchemaFormat:
    return JsonSchemaFormat("answer", schema if isinstance(schema, str) else json.dumps(schema))


def test_schemas_of_draft_2020_12_are_valid() -> None:
    assert [schema for schema in VALID if violations(schema_format(schema))] == []


def test_invalid_schemas_are_rejected_with_location_and_reason() -> None:
    descriptions = [(schema, reason, violations(schema_format(schema)).get(FIELD, "")) for schema, reason in INVALID]

    assert [row for row in descriptions if row[1] not in row[2]] == []


def test_size_depth_and_counts_are_limited() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"properties": {"a": deep}}
    too_long = schema_format('"' + "x" * MAX_SCHEMA_LENGTH + '"')
    too_many_patterns: dict[str, Any] = {"patternProperties": {f"{number}a": {} for number in range(MAX_PATTERNS + 1)}}

    assert violations(too_long)[FIELD] == "must have at most 131072 characters, got 131074"
    assert violations(schema_format(deep))[FIELD] == "must be nested at most 64 levels deep"
    assert find_schema_problem({"anyOf": [True] * MAX_SUBSCHEMAS}) == ("", "must have at most 5000 subschemas")
    assert "exceeds the limit of 100 patterns" in str(find_schema_problem(too_many_patterns))


def test_schema_name_must_match_its_pattern() -> None:
    found = violations(JsonSchemaFormat("my schema", "{}"))

    assert found == {"output_format.json_schema.name": "must match [A-Za-z0-9_-]{1,64}, got 'my schema'"}


def test_output_format_cannot_be_combined_with_prefill() -> None:
    prefilled = (*PROMPT, Message(Role.ASSISTANT, (Text("{"),)))

    assert "output_format" in violations(JsonObjectFormat(), prefilled)
    assert violations(JsonObjectFormat()) == {}


@pytest.mark.parametrize(
    ("reference", "value"),
    [("#", {"a": [{"b": 1}]}), ("#/a/0", {"b": 1}), ("#/a/0/b", 1), ("#/a/1", None), ("#/a/x", None), ("a", None)],
)
def test_reference_resolves_through_objects_and_lists(reference: str, value: Any) -> None:
    assert resolve_reference({"a": [{"b": 1}]}, reference) == value
