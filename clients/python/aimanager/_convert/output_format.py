"""Turns what a caller wants an answer to be into an output format, and the JSON of the answer back into it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..errors import InvalidRequestError
from ..v1.generation_pb2 import JsonSchema, OutputFormat

UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
LONGEST_NAME = 64

ACCEPTED = "Give a JSON Schema as a dict, a pydantic model, or dict for any JSON object."


@runtime_checkable
class ModelClass(Protocol):
    """A class that knows its JSON Schema and reads JSON: a pydantic model, or anything shaped like one."""

    def model_json_schema(self) -> dict[str, Any]:
        """Its schema."""

    def model_validate_json(self, json_data: str) -> Any:
        """An instance; raises ValueError for JSON that does not fit."""


Output: TypeAlias = "Mapping[str, Any] | type[dict[str, Any]] | ModelClass | OutputFormat | str"
"""What an answer has to be: a JSON Schema, a pydantic model, dict or "json" for any JSON object, or an OutputFormat."""


def output_format(output: Output | None) -> OutputFormat | None:
    """The format as it travels. Raises InvalidRequestError for what is none.

    >>> output_format({"title": "A city", "type": "object"}).json_schema.name
    'A_city'
    """
    if output is None or isinstance(output, OutputFormat):
        return output
    if output is dict or output == "json":
        return OutputFormat(json=True)
    if isinstance(output, Mapping):
        return _of_schema(output, str(output.get("title", "")))
    if isinstance(output, type) and isinstance(output, ModelClass):
        return _of_schema(output.model_json_schema(), output.__name__)
    raise InvalidRequestError(f"output cannot be {output!r:.100}", solution=ACCEPTED)


def parsed(text: str, output: Output | None) -> Any:
    """The answer's JSON as an instance of the model that was asked for, else as plain values; None where there is none.

    Raises ValueError where the model refuses what its own schema admits.
    """
    if not text:
        return None
    if isinstance(output, type) and isinstance(output, ModelClass):
        return output.model_validate_json(text)
    return json.loads(text)


def _of_schema(schema: Mapping[str, Any], title: str) -> OutputFormat:
    try:
        schema_json = json.dumps(schema, allow_nan=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"output is no JSON Schema: {error}", solution=ACCEPTED) from error
    name = UNFIT.sub("_", title).strip("_")[:LONGEST_NAME]
    return OutputFormat(json_schema=JsonSchema(name=name, schema_json=schema_json))
