"""Describes a Python function as JSON Schema, so that a model can call it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import InvalidRequestError

Schema = dict[str, Any]

PLAIN: Mapping[object, str] = types.MappingProxyType(
    {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
)
ARRAYS = (list, tuple, set, frozenset, Sequence)
OBJECTS = (dict, Mapping)


def schema_of(function: Callable[..., Any]) -> Schema:
    """The schema of the arguments. Raises InvalidRequestError for what a JSON object cannot carry.

    Parameters with a default are optional; the first string of an Annotated describes its parameter.

    >>> def greet(name: Annotated[str, "Whom to greet"], loud: bool = False) -> str: ...
    >>> schema_of(greet)["properties"]
    {'name': {'type': 'string', 'description': 'Whom to greet'}, 'loud': {'type': 'boolean'}}
    >>> schema_of(greet)["required"]
    ['name']
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _unsuited(f"parameter {str(parameter)!r} has no name that a model could use")
    return {
        "type": "object",
        "properties": {each.name: _schema(hints.get(each.name, Any)) for each in parameters},
        "required": [each.name for each in parameters if each.default is each.empty],
        "additionalProperties": False,
    }


def _schema(hint: Any) -> Schema:
    if hint is Any:
        return {}
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if hasattr(hint, "model_json_schema"):  # a pydantic model describes itself
        described: Schema = hint.model_json_schema()
        return described
    return _composed(hint, get_origin(hint) or hint, get_args(hint))


def _composed(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Schema:
    if origin is Annotated:
        notes = [note for note in arguments[1:] if isinstance(note, str)]
        return _schema(arguments[0]) | ({"description": notes[0]} if notes else {})
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument) for argument in arguments]}
    if origin in ARRAYS:
        return {"type": "array"} | ({"items": _schema(arguments[0])} if arguments else {})
    if origin in OBJECTS:
        return {"type": "object"} | ({"additionalProperties": _schema(arguments[1])} if arguments else {})
    raise _unsuited(f"no JSON Schema is known for {hint!r}")


def _unsuited(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the function cannot be a tool: {why}", solution="Give its schema: tool(function, schema={…})."
    )
