"""Derive the JSON Schema of a Python function's arguments, so that a model can call it as a tool."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from ..errors import InvalidRequestError

Schema = dict[str, Any]

SCALARS: Mapping[object, str] = types.MappingProxyType(
    {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
)
ARRAYS = (list, tuple, set, frozenset, Sequence)
OBJECTS = (dict, Mapping)
FORMATS: Mapping[object, Schema] = types.MappingProxyType(
    {
        datetime: {"type": "string", "format": "date-time"},
        date: {"type": "string", "format": "date"},
        time: {"type": "string", "format": "time"},
        UUID: {"type": "string", "format": "uuid"},
        Decimal: {"type": "string", "description": "A decimal number"},
    }
)
ARGS_SECTION = re.compile(r"^(?:Args|Arguments|Parameters):\n((?:[ \t]+.*(?:\n|$)|[ \t]*\n)*)", re.MULTILINE)
ARGUMENT = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def function_schema(function: Callable[..., Any]) -> Schema:
    """Return the JSON Schema of a function's arguments.

    Parameters with a default are optional. The first string of an Annotated hint describes its parameter, else its line
    in the `Args:` section of the docstring. Raises InvalidRequestError for a parameter that a JSON object cannot carry.

    >>> def greet(name: Annotated[str, "Name of the person"], loud: bool = False) -> str: ...
    >>> function_schema(greet)["properties"]
    {'name': {'type': 'string', 'description': 'Name of the person'}, 'loud': {'type': 'boolean'}}
    >>> function_schema(greet)["required"]
    ['name']
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _unsupported(f"parameter {str(parameter)!r} cannot be passed by name")
    names = [parameter.name for parameter in parameters]
    notes = split_docstring(function)[1]
    return {
        "type": "object",
        "properties": {name: _described(_hint_schema(hints.get(name, Any)), notes.get(name)) for name in names},
        "required": [parameter.name for parameter in parameters if parameter.default is parameter.empty],
        "additionalProperties": False,
    }


def split_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the docstring without its `Args:` section, and the descriptions in that section by parameter.

    >>> def greet(name: str) -> str:
    ...     '''Greet somebody.
    ...
    ...     Args:
    ...         name: Name of the person,
    ...             in full.
    ...     '''
    >>> split_docstring(greet)
    ('Greet somebody.', {'name': 'Name of the person, in full.'})
    """
    text = inspect.getdoc(function) or ""
    section = ARGS_SECTION.search(text)
    if section is None:
        return text, {}
    notes: dict[str, str] = {}
    lines = [line for line in section[1].splitlines() if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    name = ""
    for line in lines:
        is_first = not line[indent].isspace()
        if is_first and (argument := ARGUMENT.match(line.strip())):
            name = argument[1]
            notes[name] = argument[2]
        elif name:
            notes[name] = f"{notes[name]} {line.strip()}".strip()
    rest = f"{text[: section.start()].rstrip()}\n\n{text[section.end() :].lstrip()}"
    return rest.strip(), notes


def _described(schema: Schema, note: str | None) -> Schema:
    """Add a description unless the hint has one of its own."""
    return {**schema, "description": note} if note and "description" not in schema else schema


def _hint_schema(hint: Any) -> Schema:
    if hint is Any:
        return {}
    if hint in FORMATS:
        return dict(FORMATS[hint])
    if hint in SCALARS:
        return {"type": SCALARS[hint]}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if hasattr(hint, "model_json_schema"):  # a pydantic model
        schema: Schema = hint.model_json_schema()
        return schema
    return _generic_schema(hint, get_origin(hint) or hint, get_args(hint))


def _generic_schema(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Schema:
    if origin is Annotated:
        notes = [note for note in arguments[1:] if isinstance(note, str)]
        return _hint_schema(arguments[0]) | ({"description": notes[0]} if notes else {})
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_hint_schema(argument) for argument in arguments]}
    if origin in ARRAYS:
        return {"type": "array"} | ({"items": _hint_schema(arguments[0])} if arguments else {})
    if origin in OBJECTS:
        return {"type": "object"} | ({"additionalProperties": _hint_schema(arguments[1])} if arguments else {})
    raise _unsupported(f"type hint {hint!r} has no JSON Schema")


def _unsupported(problem: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The function cannot be used as a tool: {problem}.",
        solution="Change the parameter, or send tool(function, schema={…}) with request().",
    )
