"""Generated JSON satisfies its schema and is bounded in size."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat
from aimanager_server.providers.mock.json_sample import sample_json
from aimanager_server.structured_output.validator import SchemaValidator
from tests.support.clock import FakeClock
from tests.support.mock_provider import reply_text

NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]},
        {"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 2},
        {"type": ["integer", "null"], "exclusiveMinimum": 3, "multipleOf": 2},
        {"type": "number", "maximum": -5, "multipleOf": 0.5},
        {"type": "number", "exclusiveMinimum": 4, "multipleOf": 2},
        {"type": "string", "minLength": 9},
        {"type": "string", "maxLength": 2},
        {"type": "string", "minLength": 5.0, "maxLength": 6.0},
        {"type": "array", "minItems": 2.0},
        {"type": "boolean"},
        {"type": "null"},
        {"minimum": 2},
        {"enum": ["x", "y"]},
        {"const": {"a": 1}},
        {"type": "integer", "default": 7},
        {"oneOf": [{"$ref": "#/$defs/a~1b"}], "$defs": {"a/b": {"type": "boolean"}}},
        {"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "boolean"}}}, True]},
        {"$ref": "#/anyOf/0", "anyOf": [{"type": "string"}]},
        NODE,
    ],
)
def test_a_sample_satisfies_its_schema(schema: Any) -> None:
    text = sample_json(JsonSchemaFormat("sample", json.dumps(schema)))

    assert SchemaValidator(JsonSchemaFormat("sample", json.dumps(schema)), FakeClock()).validate(text).violations == ()


def test_sampling_an_infinitely_recursive_schema_terminates() -> None:
    assert sample_json(JsonSchemaFormat("endless", '{"required": ["a"], "properties": {"a": {"$ref": "#"}}}'))
    assert sample_json(JsonSchemaFormat("endless", '{"$ref": "#"}'))


def test_sampling_a_schema_that_fans_out_terminates() -> None:
    fan = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n - 1}"}] * 10} for n in range(1, 12)}
    wide = {"required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}

    assert sample_json(JsonSchemaFormat("fan", json.dumps({"$defs": {"l0": {}, **fan}, "$ref": "#/$defs/l11"})))
    assert sample_json(JsonSchemaFormat("wide", json.dumps(wide)))
    assert len(sample_json(JsonSchemaFormat("long", '{"type": "array", "minItems": 1000000000}'))) < 100_000
    assert len(sample_json(JsonSchemaFormat("long", '{"minLength": 1000000000}'))) < 100_000


async def test_the_mock_provider_returns_the_requested_format() -> None:
    assert await reply_text("Hi", output_format=JsonSchemaFormat("yes", '{"type": "boolean"}')) == "true"
    assert json.loads(await reply_text("Hi", output_format=JsonObjectFormat()))


async def test_a_script_takes_precedence_over_the_sample() -> None:
    assert await reply_text("[[reply: no JSON]]", output_format=JsonObjectFormat()) == "no JSON"
