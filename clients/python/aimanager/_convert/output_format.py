"""Convert `output` to an OutputFormat, and the JSON of a response to the type that `output` names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..errors import InvalidRequestError
from ..v1.generation_pb2 import JsonObject, JsonSchema, OutputFormat

INVALID_NAME_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]+")
MAX_NAME_LENGTH = 64

ACCEPTED_OUTPUTS = "Pass a JSON Schema as a dict, a pydantic model, or dict for any JSON object."


@runtime_checkable
class SchemaModel(Protocol):
    """A class that describes itself as JSON Schema and parses JSON: a pydantic model, or a class with its methods."""

    def model_json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""

    def model_validate_json(self, json_data: str) -> Any:
        """Parse JSON into an instance. Raises ValueError for JSON that violates the schema."""


Output: TypeAlias = "Mapping[str, Any] | type[dict[str, Any]] | SchemaModel | OutputFormat | str"
"""An output format: a JSON Schema, a pydantic model, dict or "json" for any JSON object, or an OutputFormat."""


def output_format(output: Output | None) -> OutputFormat | None:
    """Convert `output` to an OutputFormat. Raises InvalidRequestError for an unsupported value.

    >>> output_format({"title": "A city", "type": "object"}).json_schema.name
    'A_city'
    """
    if output is None or isinstance(output, OutputFormat):
        return output
    if output is dict or output == "json":
        return OutputFormat(json_object=JsonObject())
    if isinstance(output, Mapping):
        return _schema_format(output, str(output.get("title", "")))
    if isinstance(output, type) and isinstance(output, SchemaModel):
        return _schema_format(output.model_json_schema(), output.__name__)
    raise InvalidRequestError(
        f"output must be a JSON Schema, a pydantic model or dict, got {output!r:.100}", solution=ACCEPTED_OUTPUTS
    )


def parse_output(text: str, output: Output | None) -> Any:
    """Parse the JSON of a response: an instance of the model in `output`, else plain values. None for empty text.

    Raises ValueError if the model rejects the JSON.
    """
    if not text:
        return None
    if isinstance(output, type) and isinstance(output, SchemaModel):
        return output.model_validate_json(text)
    return json.loads(text)


def _schema_format(schema: Mapping[str, Any], title: str) -> OutputFormat:
    try:
        schema_json = json.dumps(schema, allow_nan=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"output must be a JSON Schema, got a value that is not JSON: {error}", solution=ACCEPTED_OUTPUTS
        ) from error
    name = INVALID_NAME_CHARACTERS.sub("_", title).strip("_")[:MAX_NAME_LENGTH]
    return OutputFormat(json_schema=JsonSchema(name=name, schema_json=schema_json))
