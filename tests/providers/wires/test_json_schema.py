import json
from typing import Any

import pytest

from aimanager_server.core.content import JsonSchemaFormat
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.providers.wires.json_schema import CLAUDE, OPENAI, NotExpressible, Rules, expressed, promised

TEXT = {"type": "string"}
DATE = {**TEXT, "format": "date"}
NOTED = {**TEXT, "description": "d"}
MAYBE = {"anyOf": [TEXT, {"type": "null"}]}
CLOSED = {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize("rules", [CLAUDE, OPENAI], ids=["claude", "openai"])
@pytest.mark.parametrize(
    ("schema", "sent"),
    [
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
            {**CLOSED, "properties": {"a": NOTED}},
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
        ({**CLOSED, "properties": {"a": MAYBE}}, {**CLOSED, "properties": {"a": MAYBE}}),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        ),
    ],
)
def test_a_schema_is_closed_and_stripped_of_notes(rules: Rules, schema: Any, sent: Any) -> None:
    assert expressed(schema, rules) == sent


@pytest.mark.parametrize("rules", [CLAUDE, OPENAI], ids=["claude", "openai"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "a value of any kind"),
        (True, "a value of any kind"),
        ({"description": "anything"}, "a value of any kind"),
        ({"type": "array"}, "a value of any kind"),
        ({"type": "object"}, "properties of any name"),
        ({"type": "object", "additionalProperties": TEXT}, "properties of any name"),
        ({"type": "object", "properties": {"b": TEXT}, "additionalProperties": True}, "properties of any name"),
        ({"oneOf": [TEXT]}, "'oneOf' is not supported"),
        ({**TEXT, "minLength": 1}, "'minLength' is not supported"),
        ({"type": "array", "prefixItems": [TEXT]}, "'prefixItems' is not supported"),
        ({"$ref": "#/$defs/t", "minLength": 1}, "'minLength' is not supported"),
    ],
)
def test_what_no_rewrite_keeps_the_meaning_of_is_not_promised(rules: Rules, value: Any, told: str) -> None:
    schema = {**CLOSED, "properties": {"a": value}, "$defs": {"t": TEXT}}

    with pytest.raises(NotExpressible, match=told):
        expressed(schema, rules)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"type": "integer", "minimum": 1}, "'minimum' is not supported"),
        ({**TEXT, "pattern": "a"}, "'pattern' is not supported"),
        ({"$ref": "#"}, "makes it contain itself"),
        ({"$ref": "#/$defs/n"}, "makes it contain itself"),
        ({"allOf": [{"$ref": "#/$defs/t"}, TEXT]}, "'allOf' is not supported here"),
    ],
)
def test_claude_promises_no_limits_and_no_recursion(value: Any, told: str) -> None:
    recursive = {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}, "type": "object"}
    schema = {**CLOSED, "properties": {"a": value}, "$defs": {"t": TEXT, "n": recursive}}

    with pytest.raises(NotExpressible, match=told):
        expressed(schema, CLAUDE)


def test_claude_takes_several_that_have_to_hold_and_the_same_definition_twice() -> None:
    twice = {"$ref": "#/$defs/t"}
    schema = {
        **CLOSED,
        "properties": {"a": {"allOf": [TEXT, {"enum": ["x"]}]}, "b": twice, "c": {"type": "array", "items": twice}},
        "$defs": {"t": TEXT},
    }

    assert expressed(schema, CLAUDE)["properties"] == schema["properties"]


def test_openai_takes_limits_and_recursion() -> None:
    node = {**CLOSED, "properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}}}
    schema = {**CLOSED, "properties": {"a": {"type": "integer", "minimum": 1}}, "$defs": {"n": node}}

    assert expressed(schema, OPENAI) == schema


@pytest.mark.parametrize(
    "value",
    [MAYBE, {"type": ["string", "null"]}, {"enum": ["x", None]}, {"$ref": "#/$defs/m"}],
    ids=["any", "type", "enum", "ref"],
)
def test_openai_is_told_to_write_a_property_that_may_be_null(value: Any) -> None:
    schema = {"type": "object", "properties": {"a": value}, "$defs": {"m": MAYBE}}

    assert expressed(schema, OPENAI)["required"] == ["a"]
    assert expressed(schema, CLAUDE)["required"] == []


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object", "properties": {"a": TEXT}}, "the property 'a' may be left out, but not be null"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": True}}, "may be left out"),
        ({"type": "array", "items": TEXT}, "the whole has to be an object"),
        ({"anyOf": [CLOSED]}, "the whole has to be an object"),
        ({**CLOSED, "properties": {"a": {"allOf": [TEXT, TEXT]}}}, "'allOf' is not supported here"),
    ],
)
def test_openai_promises_objects_with_all_their_properties(schema: Any, told: str) -> None:
    with pytest.raises(NotExpressible, match=told):
        expressed(schema, OPENAI)


def test_openai_promises_only_so_deep() -> None:
    schema: dict[str, Any] = TEXT
    for _ in range(10):
        schema = {**CLOSED, "properties": {"a": schema}}

    with pytest.raises(NotExpressible, match="deeper than 10 levels"):
        expressed(schema, OPENAI)
    assert expressed(schema, CLAUDE) == schema


def test_a_schema_that_cannot_be_promised_names_its_field() -> None:
    with pytest.raises(CapabilityUnsupported) as raised:
        promised(JsonSchemaFormat("answer", '{"type": "object"}'), CLAUDE)

    assert [field.field for field in raised.value.violations] == ["output_format.json_schema.schema_json"]


def test_references_in_a_chain_without_end_in_sight_are_not_promised() -> None:
    chain = {f"d{n}": {"type": "array", "items": {"$ref": f"#/$defs/d{n + 1}"}} for n in range(2000)}
    schema = {**CLOSED, "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**chain, "d2000": TEXT}}

    with pytest.raises(CapabilityUnsupported):
        promised(JsonSchemaFormat("answer", json.dumps(schema)), CLAUDE)


def test_the_callers_schema_is_not_touched() -> None:
    schema = {"type": "object", "properties": {"a": MAYBE}, "title": "T", "$comment": "c"}
    before = repr(schema)

    expressed(schema, OPENAI)

    assert repr(schema) == before
