"""What a tool returns, as the text that the model receives."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def tool_output(output: object) -> str:
    """Return a text as it is, anything else as JSON.

    Pydantic models, dataclasses, enums and sets become their fields, values and items, also inside of a list or a dict;
    what JSON cannot represent otherwise, such as a date, becomes its `str()`. Raises TypeError for a dict with keys
    that JSON does not have, and ValueError for a value that contains itself.

    >>> from datetime import date
    >>> tool_output({"day": date(2026, 11, 27), "open": {True}})
    '{"day": "2026-11-27", "open": [true]}'
    """
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> object:
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, set | frozenset) else str(value)
