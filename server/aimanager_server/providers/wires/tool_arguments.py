"""Parse tool call arguments into the JSON object that some wires require."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json


def parse_tool_arguments(arguments_json: str) -> dict[str, Any]:
    """Return the arguments of a tool call as a JSON object, whatever the model wrote.

    An object inside a JSON string is unwrapped. Any other JSON value is returned under `arguments`, and text that is
    not JSON under `invalid_json`.

    >>> parse_tool_arguments('{"city": "Rome"}'), parse_tool_arguments("")
    ({'city': 'Rome'}, {})
    >>> parse_tool_arguments('"{}"'), parse_tool_arguments("[1]"), parse_tool_arguments("{city")
    ({}, {'arguments': [1]}, {'invalid_json': '{city'})
    """
    if not arguments_json.strip():
        return {}
    try:
        value = from_json(arguments_json, allow_inf_nan=False)
    except ValueError:
        return {"invalid_json": arguments_json}
    if isinstance(value, str):
        value = _unwrap(value)
    return value if isinstance(value, dict) else {"arguments": value}


def _unwrap(text: str) -> Any:
    try:
        inner = from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
    return inner if isinstance(inner, dict) else text
