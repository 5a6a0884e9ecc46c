"""Print the effective settings as TOML, with the source of every value and secrets masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from .errors import MASK, looks_like_secret
from .loader import LoadedSettings
from .types import Section, SettingPath

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
SECRET_NAMES = re.compile(r"key$|token|secret|password|authorization|cookie|sha256", re.IGNORECASE)
ORIGIN_COLUMN = 52
"""The column of the origins, unless the value is longer."""


def settings_report(loaded: LoadedSettings) -> str:
    """Return every setting as a line of TOML with its origin as a comment. Masked secrets do not load again."""
    lines = list(_table((), loaded.settings, loaded))
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(path: SettingPath, section: Section, loaded: LoadedSettings) -> Iterator[str]:
    fields = [(name, getattr(section, name)) for name in type(section).model_fields]
    if path:
        yield f"\n[{'.'.join(_key(str(part)) for part in path)}]"
    for name, value in fields:
        if not _is_table(value):
            yield _line(name, value, loaded.origin((*path, name)))
    for name, value in fields:
        if isinstance(value, Section):
            yield from _table((*path, name), value, loaded)
        elif _is_table(value):
            for inner, item in value.items():
                yield from _table((*path, name, inner), item, loaded)


def _is_table(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(isinstance(item, Section) for item in value.values())
    return isinstance(value, Section)


def _line(name: str, value: object, origin: str) -> str:
    if value is None and name.endswith("_listen"):
        value = "off"
    assignment = f"# {name} is not set" if value is None else f"{name} = {_masked(name, value)}"
    return f"{assignment:<{ORIGIN_COLUMN}}  # {origin}"


def _masked(name: str, value: Any) -> str:
    if name == "headers":
        return _toml(dict.fromkeys(value, MASK))
    return _toml(value)


def _toml(value: Any) -> str:
    match value:
        case SecretStr():
            return json.dumps(MASK, ensure_ascii=False)
        case Section():
            return _toml({name: item for name, item in value if item is not None})
        case Mapping():
            pairs = [f"{_key(name)} = {_toml(_unless_secret(name, item))}" for name, item in value.items()]
            return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case datetime():
            return value.isoformat()
        case str() | Path():
            return json.dumps(MASK if looks_like_secret(str(value)) else str(value), ensure_ascii=False)
        case _:
            return json.dumps(value)


def _unless_secret(name: str, value: object) -> object:
    return MASK if isinstance(value, str) and SECRET_NAMES.search(name) else value


def _key(name: str) -> str:
    if looks_like_secret(name):
        return json.dumps(MASK, ensure_ascii=False)
    return name if BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
