"""Reads the arguments of a tool call as the object that some wires insist on."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json


def object_of(arguments_json: str) -> dict[str, Any]:
    """The arguments of a tool call as a JSON object; models do write others.

    An object inside a JSON string is taken out, any other JSON value goes under `arguments`, and what is not JSON at
    all goes as it is under `invalid_json`.

    >>> object_of('{"city": "Rome"}'), object_of("")
    ({'city': 'Rome'}, {})
    >>> object_of('"{}"'), object_of("[1]"), object_of("{city")
    ({}, {'arguments': [1]}, {'invalid_json': '{city'})
    """
    if not arguments_json.strip():
        return {}
    try:
        value = from_json(arguments_json, allow_inf_nan=False)
    except ValueError:
        return {"invalid_json": arguments_json}
    if isinstance(value, str):
        value = _inside(value)
    return value if isinstance(value, dict) else {"arguments": value}


def _inside(text: str) -> Any:
    try:
        inner = from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
    return inner if isinstance(inner, dict) else text
