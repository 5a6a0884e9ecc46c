"""Convert text from the environment and the command line to the type of its setting."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

from .settings import Settings
from .types import Section, SettingPath

BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
JSON_TYPES = (int, float, list, dict, Any)


def parse_value(text: str, path: SettingPath) -> object:
    """Convert the text of an environment variable or argument to the type of the setting at `path`.

    Lists and tables are JSON. Text that does not match the type is returned unchanged, for validation to report.

    >>> parse_value("3", ("retry", "max_attempts")), parse_value("3", ("server", "default_model"))
    (3, '3')
    """
    kind = _plain(_annotation(path))
    if kind is bool:
        return BOOLEANS.get(text.lower(), text)
    if kind in JSON_TYPES or get_origin(kind) in JSON_TYPES or _is_section(kind):
        return _parse_json(text)
    return text


def describe_unknown(path: SettingPath) -> str:
    """Return the message for an unknown setting: the closest names, or else all settings of its section."""
    known = sorted(setting_names(path[:-1]))
    nearest = get_close_matches(str(path[-1]).lower(), known, n=3)
    if nearest:
        return f"unknown setting; did you mean {' or '.join(nearest)}?"
    return f"unknown setting; known settings here: {', '.join(known)}"


def setting_names(path: SettingPath) -> tuple[str, ...]:
    """Return the names of the settings in the section at `path`; empty if `path` is not a section."""
    kind = _plain(_annotation(path))
    return tuple(kind.model_fields) if _is_section(kind) else ()


def nest(path: SettingPath, value: object) -> dict[str | int, object]:
    """Return the value inside the tables that its path names.

    >>> nest(("server", "listen"), "[::]:1")
    {'server': {'listen': '[::]:1'}}
    """
    first, *rest = path
    return {first: nest(tuple(rest), value) if rest else value}


def _annotation(path: SettingPath) -> Any:
    kind: Any = Settings
    for part in path:
        kind = _inner(_plain(kind), part)
    return kind


def _inner(kind: Any, part: str | int) -> Any:
    if _is_section(kind):
        field = kind.model_fields.get(part)
        return field.annotation if field else None
    if kind is Any:
        return Any
    return get_args(kind)[-1] if get_origin(kind) in (dict, list) else None


def _plain(kind: Any) -> Any:
    """Return the type without `Annotated` and without `| None`."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    choices = [choice for choice in get_args(kind) if choice is not type(None)]
    is_optional = type(None) in get_args(kind) and len(choices) == 1
    return _plain(choices[0]) if is_optional else kind


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
