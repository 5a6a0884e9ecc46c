"""Convert `output` to an OutputFormat, and the JSON of a response to the type that `output` names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, TypeVar, get_origin, runtime_checkable

from ..errors import InvalidRequestError
from ..v1.generation_pb2 import JsonObject, JsonSchema, OutputFormat

INVALID_NAME_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]+")
MAX_NAME_LENGTH = 64
MAX_ADAPTERS = 64

ACCEPTED_OUTPUTS = (
    "Pass a pydantic model, a dataclass, a type such as list[City], a TypeAdapter, a JSON Schema as a dict, "
    "or dict for any JSON object."
)
WRAPPER = "result"
"""Property that holds a value which is no JSON object, since providers accept schemas of objects only."""

Value_co = TypeVar("Value_co", covariant=True)


@runtime_checkable
class SchemaModel(Protocol):
    """A class that describes itself as JSON Schema and parses JSON: a pydantic model, or a class with its methods."""

    def model_json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""

    def model_validate_json(self, json_data: str) -> Any:
        """Parse JSON into an instance. Raises ValueError for JSON that violates the schema."""


@runtime_checkable
class SchemaAdapter(Protocol[Value_co]):
    """An object that describes a type as JSON Schema and parses JSON: a `pydantic.TypeAdapter`."""

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""

    def validate_json(self, data: str, /) -> Value_co:
        """Parse JSON into a value. Raises ValueError for JSON that violates the schema."""


Value = TypeVar("Value")
OutputType: TypeAlias = type[Value] | SchemaAdapter[Value]
"""An output format that determines the type of `AIResponse.parsed`."""

Output: TypeAlias = "Mapping[str, Any] | type[Any] | SchemaModel | SchemaAdapter[Any] | OutputFormat | str"
"""An output format: a type, a TypeAdapter, a JSON Schema, dict or "json" for any JSON object, or an OutputFormat.

A type is a pydantic model, a dataclass, or whatever else pydantic validates, such as `list[City]`.
"""


@dataclass(frozen=True, slots=True)
class TypeOutput:
    """A type with its schema, which has the value in `result` if the value is not an object."""

    adapter: SchemaAdapter[Any]
    schema: Mapping[str, Any]
    is_wrapped: bool

    def parse(self, text: str) -> Any:
        """Parse the JSON of a response."""
        return self.adapter.validate_json(json.dumps(json.loads(text)[WRAPPER]) if self.is_wrapped else text)


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
        return _mapping_format(output)
    if isinstance(output, type) and isinstance(output, SchemaModel):
        return _schema_format(output.model_json_schema(), output.__name__)
    typed = _type_output(output)
    return _schema_format(typed.schema, str(typed.schema.get("title", "")))


def parse_output(text: str, output: Output | None) -> Any:
    """Parse the JSON of a response: a value of the type in `output`, else plain values. None for empty text.

    Raises ValueError if the type rejects the JSON.
    """
    if not text:
        return None
    if isinstance(output, type) and isinstance(output, SchemaModel):
        return output.model_validate_json(text)
    if output is None or output is dict or isinstance(output, Mapping | OutputFormat | str):
        return json.loads(text)
    return _type_output(output).parse(text)


def _type_output(output: Any) -> TypeOutput:
    is_type = isinstance(output, type) or get_origin(output) is not None
    if not is_type and not isinstance(output, SchemaAdapter):
        raise InvalidRequestError(f"output must be a type or a JSON Schema, got {output!r:.100}", ACCEPTED_OUTPUTS)
    try:
        return _cached_type_output(output)
    except TypeError:  # not hashable, such as a type annotated with a list
        return _build_type_output(output)


def _build_type_output(output: Any) -> TypeOutput:
    adapter = output if isinstance(output, SchemaAdapter) and not isinstance(output, type) else _type_adapter(output)
    schema = adapter.json_schema()
    if schema.get("type") == "object":
        return TypeOutput(adapter, schema, is_wrapped=False)
    definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
    wrapper = {"type": "object", "properties": {WRAPPER: schema}, "required": [WRAPPER], "additionalProperties": False}
    return TypeOutput(adapter, {**wrapper, **definitions}, is_wrapped=True)


_cached_type_output = lru_cache(MAX_ADAPTERS)(_build_type_output)


def _type_adapter(output: Any) -> SchemaAdapter[Any]:
    try:
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticUserError
    except ImportError:
        raise InvalidRequestError(
            f"output={output!r:.100} requires pydantic", "Run `pip install pydantic`, or pass a JSON Schema as a dict."
        ) from None
    try:
        adapter: SchemaAdapter[Any] = TypeAdapter(output)
        adapter.json_schema()
    except PydanticUserError as error:
        raise InvalidRequestError(
            f"output must be a type with a JSON Schema, got {output!r:.100}: {error.message}", ACCEPTED_OUTPUTS
        ) from None
    return adapter


def _mapping_format(output: Mapping[str, Any]) -> OutputFormat:
    """Convert a JSON Schema, or a `response_format` of OpenAI."""
    match output:
        case {"type": "json_object", **rest} if not rest:
            return OutputFormat(json_object=JsonObject())
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema} as named}:
            return _schema_format(schema, str(named.get("name", "")))
    return _schema_format(output, str(output.get("title", "")))


def _schema_format(schema: Mapping[str, Any], title: str) -> OutputFormat:
    try:
        schema_json = json.dumps(schema, allow_nan=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"output must be a JSON Schema, got a value that is not JSON: {error}", ACCEPTED_OUTPUTS
        ) from error
    name = INVALID_NAME_CHARACTERS.sub("_", title).strip("_")[:MAX_NAME_LENGTH]
    return OutputFormat(json_schema=JsonSchema(name=name, schema_json=schema_json))
