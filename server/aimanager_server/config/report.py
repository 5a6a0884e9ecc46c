"""Shows the settings in force as TOML, with the origin of every value and without any secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from .errors import MASK, looks_secret
from .loader import Loaded
from .types import Place, Section

BARE = re.compile(r"[A-Za-z0-9_-]+")
SECRET_NAMES = re.compile(r"key$|token|secret|password|authorization|cookie", re.IGNORECASE)
HIDDEN = ("token_sha256",)
COLUMN = 52
"""Where origins begin, unless the value is longer."""


def report(loaded: Loaded) -> str:
    """Every value, with its origin as a comment behind it; the lines are TOML again, but for the masked secrets."""
    lines = list(_table((), loaded.settings, loaded))
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(place: Place, section: Section, loaded: Loaded) -> Iterator[str]:
    fields = [(name, getattr(section, name)) for name in type(section).model_fields]
    if place:
        yield f"\n[{'.'.join(_name(str(part)) for part in place)}]"
    for name, value in fields:
        if not _is_tables(value):
            yield _line(name, value, loaded.origin((*place, name)))
    for name, value in fields:
        if isinstance(value, Section):
            yield from _table((*place, name), value, loaded)
        elif _is_tables(value):
            for inner, item in value.items():
                yield from _table((*place, name, inner), item, loaded)


def _is_tables(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(isinstance(item, Section) for item in value.values())
    return isinstance(value, Section)


def _line(name: str, value: object, origin: str) -> str:
    if value is None and name.endswith("_listen"):
        value = "off"
    said = f"# {name} is not set" if value is None else f"{name} = {_masked(name, value)}"
    return f"{said:<{COLUMN}}  # {origin}"


def _masked(name: str, value: Any) -> str:
    if name == "headers":
        return _written(dict.fromkeys(value, MASK))
    return _written(MASK if name in HIDDEN else value)


def _written(value: Any) -> str:
    match value:
        case SecretStr():
            return json.dumps(MASK, ensure_ascii=False)
        case Section():
            return _written({name: said for name, said in value if said is not None})
        case Mapping():
            pairs = [f"{_name(name)} = {_written(_unless_secret(name, said))}" for name, said in value.items()]
            return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(_written(item) for item in value)}]"
        case str() | Path():
            return json.dumps(MASK if looks_secret(str(value)) else str(value), ensure_ascii=False)
        case _:
            return json.dumps(value)


def _unless_secret(name: str, value: object) -> object:
    return MASK if isinstance(value, str) and SECRET_NAMES.search(name) else value


def _name(name: str) -> str:
    if looks_secret(name):
        return json.dumps(MASK, ensure_ascii=False)
    return name if BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
