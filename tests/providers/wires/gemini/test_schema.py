"""References inside a schema are put in their place, where that ends."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.providers.wires.gemini.schema import inlined

NAME = {"type": "string", "description": "A name."}


@pytest.mark.parametrize(
    ("schema", "written"),
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
def test_a_reference_becomes_what_it_means(schema: dict[str, Any], written: dict[str, Any]) -> None:
    assert inlined(schema) == written


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"tree": {"properties": {"next": {"$ref": "#/$defs/tree"}}}}, "$ref": "#/$defs/tree"},
        {"properties": {"self": {"$ref": "#/"}}},
        {"properties": {"a": {"$ref": "https://example.com/schema"}}},
        {"properties": {"a": {"$ref": "#/$defs/missing"}}},
    ],
)
def test_a_schema_that_cannot_do_without_references_keeps_them(schema: dict[str, Any]) -> None:
    assert inlined(schema) == schema


def test_a_schema_that_would_grow_without_bounds_keeps_its_references() -> None:
    levels = {f"l{n}": {"anyOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 10} for n in range(9)}
    schema = {"$ref": "#/$defs/l0", "$defs": {**levels, "l9": NAME}}

    assert inlined(schema) == schema
