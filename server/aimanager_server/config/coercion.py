"""What the models say about a key that is only known as text: its kind, and the names beside it."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

from .settings import Settings
from .types import Place, Section

TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
PARSED = (int, float, list, dict, Any)


def value_of(text: str, place: Place) -> object:
    """The text of a variable or an argument as the kind of value its key takes.

    Lists and tables are JSON. Text that does not fit is returned as it is: validation then says what is accepted.

    >>> value_of("3", ("retry", "attempts")), value_of("3", ("server", "default_model"))
    (3, '3')
    """
    kind = _plain(_annotation(place))
    if kind is bool:
        return TRUTH.get(text.lower(), text)
    if kind in PARSED or get_origin(kind) in PARSED or _is_section(kind):
        return _parsed(text)
    return text


def hint_for(place: Place) -> str:
    """What to write instead of a key that is not one."""
    siblings = sorted(names_below(place[:-1]))
    nearest = get_close_matches(str(place[-1]).lower(), siblings, n=3)
    if nearest:
        return f"is not a setting; did you mean {' or '.join(nearest)}?"
    return f"is not a setting; accepted here: {', '.join(siblings)}"


def names_below(place: Place) -> tuple[str, ...]:
    """The keys of the section at the place; empty where it is none."""
    kind = _plain(_annotation(place))
    return tuple(kind.model_fields) if _is_section(kind) else ()


def _annotation(place: Place) -> Any:
    kind: Any = Settings
    for part in place:
        kind = _inside(_plain(kind), part)
    return kind


def _inside(kind: Any, part: str | int) -> Any:
    if _is_section(kind):
        field = kind.model_fields.get(part)
        return field.annotation if field else None
    if kind is Any:
        return Any
    return get_args(kind)[-1] if get_origin(kind) in (dict, list) else None


def _plain(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    said = [choice for choice in get_args(kind) if choice is not type(None)]
    is_optional = type(None) in get_args(kind) and len(said) == 1
    return _plain(said[0]) if is_optional else kind


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def nested(place: Place, value: object) -> dict[str | int, object]:
    """The value inside the tables that its place names.

    >>> nested(("server", "listen"), "[::]:1")
    {'server': {'listen': '[::]:1'}}
    """
    first, *rest = place
    return {first: nested(tuple(rest), value) if rest else value}
