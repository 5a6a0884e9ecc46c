"""Validate the output format of a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..core.content import JsonSchemaFormat, Role
from ..core.errors import FieldViolation
from ..core.request import GenerateParams
from .json_depth import parse_json_object
from .json_schema import find_schema_problem
from .violations import quoted

JSON_SCHEMA_FIELD: Final = "output_format.json_schema"

SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_SCHEMA_LENGTH = 128 * 1024
"""Characters. No provider accepts more than 120,000."""

MAX_POINTER_LENGTH = 100


def output_format_violations(params: GenerateParams, max_depth: int) -> Iterator[FieldViolation]:
    """Yield the violations of the output format. `max_depth` limits the nesting of the schema."""
    output_format = params.output_format
    if output_format is None:
        return
    if params.messages and params.messages[-1].role is Role.ASSISTANT:
        description = "cannot be combined with a trailing assistant message (prefill)"
        yield FieldViolation("output_format", description)
    if isinstance(output_format, JsonSchemaFormat):
        if not SCHEMA_NAME.fullmatch(output_format.name):
            description = f"must match {SCHEMA_NAME.pattern}, got {quoted(output_format.name)}"
            yield FieldViolation(f"{JSON_SCHEMA_FIELD}.name", description)
        problem = _schema_problem(output_format.schema_json, max_depth)
        if problem:
            yield FieldViolation(f"{JSON_SCHEMA_FIELD}.schema_json", problem)


def _schema_problem(schema_json: str, max_depth: int) -> str:
    if len(schema_json) > MAX_SCHEMA_LENGTH:
        return f"must have at most {MAX_SCHEMA_LENGTH} characters, got {len(schema_json)}"
    try:
        schema = parse_json_object(schema_json, max_depth)
    except ValueError as error:
        return str(error)
    found = find_schema_problem(schema)
    if found is None:
        return ""
    pointer, description = found
    location = quoted(pointer[:MAX_POINTER_LENGTH]) if pointer else "the root"
    return f"is not a valid schema: {location} {description}"
