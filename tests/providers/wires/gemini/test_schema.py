"""References in JSON Schemas for the Gemini API are inlined within bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.providers.wires.gemini.schema import ReferenceInliner

NAME = {"type": "string", "description": "A name."}


@pytest.mark.parametrize(
    ("schema", "inlined"),
    [
        ({"type": "object"}, {"type": "object"}),
        (
            {"properties": {"a": {"$ref": "#/$defs/name"}, "b": [{"$ref": "#/$defs/name"}]}, "$defs": {"name": NAME}},
            {"properties": {"a": NAME, "b": [NAME]}},
        ),
        (
            {"properties": {"a": {"$ref": "#/definitions/n~1a", "description": "Own."}}, "definitions": {"n/a": NAME}},
            {"properties": {"a": {"type": "string", "description": "Own."}}},
        ),
        ({"items": {"$ref": "#/$defs/yes"}, "$defs": {"yes": True}}, {"items": True}),
        (
            {"a": {"$ref": "#/$defs/outer"}, "$defs": {"outer": {"b": {"$ref": "#/$defs/inner"}}, "inner": NAME}},
            {"a": {"b": NAME}},
        ),
        ({"properties": {"$ref": {"type": "string"}}}, {"properties": {"$ref": {"type": "string"}}}),
    ],
)
def test_references_are_inlined(schema: dict[str, Any], inlined: dict[str, Any]) -> None:
    assert ReferenceInliner().inline(json.dumps(schema)) == inlined


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"tree": {"properties": {"next": {"$ref": "#/$defs/tree"}}}}, "$ref": "#/$defs/tree"},
        {"properties": {"self": {"$ref": "#/"}}},
        {"properties": {"a": {"$ref": "https://example.com/schema"}}},
        {"properties": {"a": {"$ref": "#/$defs/missing"}}},
    ],
)
def test_schema_with_unresolvable_references_is_unchanged(schema: dict[str, Any]) -> None:
    assert ReferenceInliner().inline(json.dumps(schema)) == schema


def test_schema_above_the_expansion_limit_is_unchanged() -> None:
    levels = {f"l{n}": {"anyOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 10} for n in range(9)}
    schema = {"$ref": "#/$defs/l0", "$defs": {**levels, "l9": NAME}}

    assert ReferenceInliner().inline(json.dumps(schema)) == schema


def test_the_schemas_of_a_request_share_the_limit() -> None:
    repeated = {"anyOf": [{"$ref": "#/$defs/a"}] * 100, "$defs": {"a": {"enum": list(range(200))}}}
    without = {"type": "string"}
    inliner = ReferenceInliner()

    inlined = [inliner.inline(json.dumps(schema)) for schema in (repeated, repeated, without)]

    assert inlined[0] != repeated
    assert inlined[1:] == [repeated, without]
