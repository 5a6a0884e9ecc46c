"""Checks a request against the TypedDicts of a vendor's SDK."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter


def seen_by(kind: Any, body: Mapping[str, Any]) -> Any:
    """The body as the type sees it, field by field; raises ValueError where a value does not fit.

    Fields of type Iterable are validated only while they are read, and fields a TypedDict does not know are dropped:
    so everything is read to its end, and the caller compares the result with what was sent.
    """
    adapter = TypeAdapter(kind)
    return _drained(adapter.validate_python(body))


def _drained(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _drained(item) for name, item in value.items()}
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return [_drained(item) for item in value]
