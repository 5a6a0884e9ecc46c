"""Convert the JSON arguments of a tool call to the type hints of the function."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from .function_schema import ARRAYS, OBJECTS

FROM_TEXT: Mapping[Any, Callable[[str], Any]] = types.MappingProxyType(
    {datetime: datetime.fromisoformat, date: date.fromisoformat, time: time.fromisoformat, UUID: UUID}
)


def convert_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as the function's type hints say. Raises TypeError or ValueError for others.

    >>> def remind(day: date, times: int = 1) -> None: ...
    >>> convert_arguments(remind, {"day": "2026-11-27"})
    {'day': datetime.date(2026, 11, 27)}
    """
    inspect.signature(function).bind(**arguments)
    hints = get_type_hints(function, include_extras=True)
    return {name: _named(name, value, hints.get(name, Any)) for name, value in arguments.items()}


def _named(name: str, value: Any, hint: Any) -> Any:
    try:
        return _convert(value, hint)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"argument {name!r}: {error}") from error


def _convert(value: Any, hint: Any) -> Any:
    if hint is Any:
        return value
    if hint in FROM_TEXT:
        return FROM_TEXT[hint](value)
    if hint is Decimal:
        return Decimal(str(value))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hasattr(hint, "model_validate"):  # a pydantic model
        return hint.model_validate(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and hint in (str, int, float, bool):
        return _require(value, hint)
    return _convert_generic(value, get_origin(hint) or hint, get_args(hint))


def _convert_generic(value: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if origin is Annotated:
        return _convert(value, arguments[0])
    if origin is Literal:
        return _require_one_of(value, arguments)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments)
    if origin in (type(None), None):
        return _require(value, type(None))
    if origin in ARRAYS:
        items = [_convert(item, arguments[0]) if arguments else item for item in _require(value, list)]
        return origin(items) if origin in (tuple, set, frozenset) else items
    if origin in OBJECTS:
        fields = _require(value, dict)
        return {name: _convert(item, arguments[1]) if arguments else item for name, item in fields.items()}
    return value


def _convert_union(value: Any, hints: tuple[Any, ...]) -> Any:
    """Return the value as the first hint that accepts it."""
    if value is None and type(None) in hints:
        return None
    problems = []
    for hint in hints:
        try:
            return _convert(value, hint)
        except (ArithmeticError, TypeError, ValueError) as error:
            problems.append(str(error))
    raise ValueError("; ".join(problems))


def _require(value: Any, kind: type) -> Any:
    is_boolean = isinstance(value, bool)
    if isinstance(value, kind) and (not is_boolean or kind is bool):
        return value
    raise TypeError(f"must be {kind.__name__}, got {value!r:.100}")


def _require_one_of(value: Any, choices: tuple[Any, ...]) -> Any:
    if value in choices:
        return value
    raise ValueError(f"must be one of {', '.join(map(repr, choices))}, got {value!r:.100}")
