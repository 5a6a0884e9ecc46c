"""Finds what is wrong with the shape that a question asks its answer to have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pydantic_core import from_json

from ..core.content import JsonSchemaFormat, Role
from ..core.errors import FieldViolation
from .json_depth import is_deeper
from .json_schema import problem_of
from .messages import shown

if TYPE_CHECKING:
    from ..core.request import GenerateParams

FIELD: Final = "output_format.json_schema"

SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

LONGEST_SCHEMA = 128 * 1024
"""Characters; no provider takes more than 120,000."""

LONGEST_PLACE = 100


def format_flaws(ask: GenerateParams, deepest: int) -> Iterator[FieldViolation]:
    """Everything that cannot be used; `deepest` is how far JSON may be nested."""
    wanted = ask.output_format
    if wanted is None:
        return
    if ask.messages and ask.messages[-1].role is Role.ASSISTANT:
        yield FieldViolation("output_format", "cannot be asked of an answer that the caller has begun")
    if isinstance(wanted, JsonSchemaFormat):
        if not SCHEMA_NAME.fullmatch(wanted.name):
            accepted = "letters, digits, '_' and '-', 1 to 64 of them"
            yield FieldViolation(f"{FIELD}.name", f"{shown(wanted.name)} is no schema name: {accepted}")
        problem = _problem(wanted.schema_json, deepest)
        if problem:
            yield FieldViolation(f"{FIELD}.schema_json", problem)


def _problem(schema_json: str, deepest: int) -> str:
    if len(schema_json) > LONGEST_SCHEMA:
        return f"has {len(schema_json)} characters, at most {LONGEST_SCHEMA} fit"
    try:
        schema = from_json(schema_json, allow_inf_nan=False)
    except ValueError:
        return "is not JSON"
    if not isinstance(schema, dict):
        return "is not a JSON object"
    if is_deeper(schema, deepest):
        return f"is nested deeper than {deepest} levels"
    found = problem_of(schema)
    return f"{shown(found[0][:LONGEST_PLACE])} {found[1]}" if found else ""
