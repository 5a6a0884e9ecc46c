"""Describe the difference between two configurations without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from .errors import dotted_path
from .report import display_value
from .types import Section, SectionWithFiles, SettingPath

HIDDEN_SETTINGS = frozenset({"api_key", "keys", "headers", "options", "tokens"})
"""Settings whose values are never shown, since they are secret or may contain secrets."""

MAX_VALUE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Change:
    """One setting, as an operator writes it, and what changed: its values, or only that it changed."""

    setting: str
    description: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.description}"


def differences(old: Section, new: Section, path: SettingPath = ()) -> Iterator[Change]:
    """Yield what changed from one section to another of the same type, in the order of the settings."""
    if old == new:
        return
    for name in type(old).model_fields:
        yield from _value_changes(getattr(old, name), getattr(new, name), (*path, name))
    if isinstance(old, SectionWithFiles) and isinstance(new, SectionWithFiles):
        yield from _file_changes(old, new, path)


def _value_changes(old: Any, new: Any, path: SettingPath) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, Section) and type(old) is type(new):
        yield from differences(old, new, path)
    elif _has_sections(old) or _has_sections(new):
        yield from _table_changes(old, new, path)
    else:
        yield Change(dotted_path(path), _description(old, new, str(path[-1])))


def _table_changes(old: Mapping[str, Section], new: Mapping[str, Section], path: SettingPath) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        here = (*path, name)
        if name not in old or name not in new:
            yield Change(dotted_path(here), "added" if name in new else "removed")
        else:
            yield from differences(old[name], new[name], here)


def _file_changes(old: SectionWithFiles, new: SectionWithFiles, path: SettingPath) -> Iterator[Change]:
    for name, digest in new.file_digests.items():
        is_same_path = getattr(old, name) == getattr(new, name)
        if is_same_path and old.file_digests.get(name) != digest:
            yield Change(dotted_path((*path, name)), "content changed")


def _description(old: Any, new: Any, name: str) -> str:
    if name in HIDDEN_SETTINGS or isinstance(old, SecretStr) or isinstance(new, SecretStr):
        return "changed"
    before, after = _shown(old), _shown(new)
    return "changed" if before == after else f"{before} → {after}"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, Section):
        return "not set" if value is None else "set"
    text = display_value(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 1]}…"


def _has_sections(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(item, Section) for item in value.values())
