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
from .secret_shapes import SECRET_NAME, without_secrets
from .types import Section, SettingPath

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
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
    shown = _masked(value) if _is_secret_setting(name) else value
    assignment = f"# {name} is not set" if value is None else f"{name} = {display_value(shown)}"
    return f"{assignment:<{ORIGIN_COLUMN}}  # {origin}"


def _is_secret_setting(name: str) -> bool:
    """Return whether a declared setting is secret. API keys have a type of their own."""
    return name == "headers" or "sha256" in name


def display_value(value: Any) -> str:
    """Return the value as TOML, with a mask for what could be a secret."""
    match value:
        case SecretStr():
            return json.dumps(MASK, ensure_ascii=False)
        case Section():
            known = {name: item for name, item in value if item is not None}
            return _inline_table(
                {name: _masked(item) if _is_secret_setting(name) else item for name, item in known.items()}
            )
        case Mapping():
            return _inline_table(
                {name: _masked(item) if SECRET_NAME.search(name) else item for name, item in value.items()}
            )
        case list() | tuple():
            return f"[{', '.join(display_value(item) for item in value)}]"
        case datetime():
            return value.isoformat()
        case str() | Path():
            text = str(value)
            return json.dumps(MASK if looks_like_secret(text) else without_secrets(text, MASK), ensure_ascii=False)
        case _:
            return json.dumps(value)


def _inline_table(values: Mapping[str, object]) -> str:
    pairs = [f"{_key(name)} = {display_value(item)}" for name, item in values.items()]
    return f"{{ {', '.join(pairs)} }}" if pairs else "{}"


def _masked(value: object) -> object:
    """Mask every text in a value. Numbers, such as a limit of tokens, are no secrets."""
    match value:
        case str():
            return MASK
        case Mapping():
            return {name: _masked(item) for name, item in value.items()}
        case list() | tuple():
            return [_masked(item) for item in value]
        case _:
            return value


def _key(name: str) -> str:
    if looks_like_secret(name):
        return json.dumps(MASK, ensure_ascii=False)
    return name if BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
