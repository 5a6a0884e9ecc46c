import json
from typing import Any

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat, Message, OutputFormat, Role, Text
from aimanager_server.core.errors import InvalidRequest
from aimanager_server.core.request import GenerateParams
from aimanager_server.validation.json_schema import MOST_PATTERNS, MOST_SCHEMAS, problem_of, target
from aimanager_server.validation.output_format import LONGEST_SCHEMA
from aimanager_server.validation.request import check

QUESTION = (Message(Role.USER, (Text("Hi"),)),)
FIELD = "output_format.json_schema.schema_json"


def refused(wanted: OutputFormat, messages: tuple[Message, ...] = QUESTION) -> dict[str, str]:
    try:
        check(GenerateParams(messages, output_format=wanted), Limits(), {}, longest=1200.0)
    except InvalidRequest as fault:
        return {violation.field: violation.description for violation in fault.violations}
    return {}


def schema(value: Any) -> JsonSchemaFormat:
    return JsonSchemaFormat("answer", value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"type": "object", "properties": {"a": {"type": ["string", "null"], "minLength": 1}}, "required": ["a"]},
        {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
        {"definitions": {"a/b": True}, "properties": {"x": {"$ref": "#/definitions/a~1b"}}},
        {"anyOf": [{"const": 1}, {"enum": ["a", None]}], "items": {"$ref": "#/anyOf/0"}},
        {"$id": "https://example.com/a", "$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": "x"},
        {"patternProperties": {"^x": False}, "dependentRequired": {"a": ["b"]}, "pattern": "a+"},
        {"unheardOf": 1, "default": {"type": 7}, "multipleOf": 0.1, "uniqueItems": True, "maximum": -1.5},
    ],
)
def test_a_schema_of_the_current_draft_is_taken(value: Any) -> None:
    assert refused(schema(value)) == {}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("true", "is not a JSON object"),
        ({"type": "text"}, "'/type' is not one or more of array"),
        ({"type": []}, "'/type' is not one or more of"),
        ({"properties": []}, "'/properties' is not an object of schemas"),
        ({"properties": {"a": 1}}, "'/properties/a' is no schema"),
        ({"items": [{}]}, "'/items' is not a schema"),
        ({"anyOf": {}}, "'/anyOf' is not a list of schemas"),
        ({"anyOf": []}, "'/anyOf' is not a list of schemas"),
        ({"required": "a"}, "'/required' is not a list of names"),
        ({"dependentRequired": {"a": "b"}}, "is not an object of lists of names"),
        ({"minimum": True}, "'/minimum' is not a number"),
        ({"minLength": -1}, "'/minLength' is not a whole number"),
        ({"minLength": 0.5}, "'/minLength' is not a whole number"),
        ({"multipleOf": 0}, "'/multipleOf' is not a number above 0"),
        ({"uniqueItems": 1}, "is not true or false"),
        ({"enum": "a"}, "is not a list"),
        ({"$ref": 1}, "is not a text"),
        ({"$ref": "https://example.com/schema"}, "leads nowhere inside the schema"),
        ({"$ref": "file:///etc/passwd"}, "leads nowhere inside the schema"),
        ({"$ref": "#/$defs/none"}, "leads nowhere inside the schema"),
        ({"$ref": "#/$defs", "$defs": {"a": 1}}, "is no schema"),
        ({"properties": {"a": {"$id": "b"}}}, "'/properties/a/$id' is a keyword that is not supported"),
        ({"$dynamicRef": "#a"}, "is a keyword that is not supported"),
        ({"unevaluatedProperties": False}, "is a keyword that is not supported"),
        ({"pattern": "(?=a)"}, "has look-around or a back-reference"),
        ({"pattern": r"(a)\1"}, "has look-around or a back-reference"),
        ({"pattern": "((a{0,100}){0,100}){0,100}"}, "too large"),
        ({"pattern": "a" * 1001}, "at most 100 patterns of 1000 characters"),
        ({"patternProperties": {"(": True}}, "is no regular expression"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(value: Any, told: str) -> None:
    assert told in refused(schema(value))[FIELD]


def test_size_depth_and_number_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"properties": {"a": deep}}

    assert "at most 131072 fit" in refused(schema('"' + "x" * LONGEST_SCHEMA + '"'))[FIELD]
    assert "is nested deeper than 64 levels" in refused(schema(deep))[FIELD]
    assert problem_of({"anyOf": [True] * MOST_SCHEMAS}) == ("", "holds more than 5000 schemas")
    assert "at most 100 patterns" in str(
        problem_of({"patternProperties": {f"{n}a": {} for n in range(MOST_PATTERNS + 1)}})
    )


def test_a_name_is_of_letters_digits_and_dashes() -> None:
    assert "is no schema name" in refused(JsonSchemaFormat("my schema", "{}"))["output_format.json_schema.name"]


def test_an_answer_begun_by_the_caller_has_no_format() -> None:
    begun = (*QUESTION, Message(Role.ASSISTANT, (Text("{"),)))

    assert "output_format" in refused(JsonObjectFormat(), begun)
    assert refused(JsonObjectFormat()) == {}


@pytest.mark.parametrize(
    ("reference", "found"),
    [("#", {"a": [{"b": 1}]}), ("#/a/0", {"b": 1}), ("#/a/0/b", 1), ("#/a/1", None), ("#/a/x", None), ("a", None)],
)
def test_a_pointer_leads_through_objects_and_lists(reference: str, found: Any) -> None:
    assert target({"a": [{"b": 1}]}, reference) == found
