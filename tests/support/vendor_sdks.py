"""Validate a request against the TypedDicts of a vendor's SDK."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter


def validated_by(request_type: Any, body: Mapping[str, Any]) -> Any:
    """Return the body as the type parses it. Raises ValueError for a value of the wrong type.

    Fields of type Iterable are validated only while they are read, so everything is read to its end. Unknown fields
    are dropped, so the caller compares the result with the body.
    """
    return _read_fully(_adapter(request_type).validate_python(body))


@cache
def _adapter(request_type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(request_type)


def _read_fully(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _read_fully(item) for name, item in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [_read_fully(item) for item in value]
