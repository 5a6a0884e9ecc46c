"""Validate requests against a part of OpenAI's OpenAPI description, with unknown fields forbidden."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DESCRIPTION = Path(__file__).with_name("openai_openapi.json")

REFERENCE = "#/components/schemas/"


def problems_of(schema_name: str, body: Any) -> list[str]:
    """Return where the body does not match the schema of this name."""
    errors = _validator(schema_name).iter_errors(body)
    return [f"{error.json_path}: {error.message[:300]}" for error in errors]


@cache
def _validator(schema_name: str) -> Draft202012Validator:
    description = json.loads(DESCRIPTION.read_text("utf-8"))
    schemas: dict[str, Any] = description["components"]["schemas"]
    composed = {name for schema in schemas.values() for name in _composed(schema)}
    closed = {name: _closed(schema, composed, is_open=name in composed) for name, schema in schemas.items()}
    root = {"$ref": REFERENCE + schema_name, "unevaluatedProperties": False}
    return Draft202012Validator({**root, "components": {"schemas": closed}})


def _composed(schema: Any) -> set[str]:
    """Return the names of the schemas that others extend with `allOf`; their fields are not all fields."""
    if isinstance(schema, list):
        return set().union(*map(_composed, schema))
    if not isinstance(schema, dict):
        return set()
    parts = schema.get("allOf", ())
    names = {part["$ref"].removeprefix(REFERENCE) for part in parts if "$ref" in part}
    return names.union(*map(_composed, schema.values()))


def _closed(schema: Any, composed: set[str], *, is_open: bool = False) -> Any:
    """Return the schema without unknown fields.

    `oneOf` becomes `anyOf`, because some alternatives of the description overlap.
    """
    if isinstance(schema, list):
        return [_closed(item, composed) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: _closed(item, composed) for name, item in value.items()}
        elif key == "allOf":
            result[key] = [_closed(item, composed, is_open=True) for item in value]
        else:
            result["anyOf" if key == "oneOf" else key] = _closed(value, composed)
    is_extended = schema.get("$ref", "").removeprefix(REFERENCE) in composed
    has_fields = "properties" in schema or "allOf" in schema or is_extended
    if has_fields and not is_open and "additionalProperties" not in schema:
        result["unevaluatedProperties"] = False
    return result
