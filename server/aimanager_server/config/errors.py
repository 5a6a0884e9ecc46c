"""Report invalid settings: every problem at once, by setting and source, without secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .types import SettingPath

if TYPE_CHECKING:
    from pydantic import ValidationError

PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,39}")
KEY_PREFIXES = ("sk-", "sk_", "xai-", "gsk_", "aiza", "ghp_", "hf_")
MASK = "••••"

MESSAGES = {
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "path_type": "must be a file path",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "missing": "is required",
    "string_too_short": "must not be empty",
}
"""Messages that replace pydantic's, by the type of its error."""

BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}
"""Errors of numbers outside their range, by pydantic's type: the key of the limit, and how to name it."""

LENGTHS = {"too_short": ("min_length", "at least"), "too_long": ("max_length", "at most")}
"""The same for lists with too few or too many items."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One invalid value: its setting, the source that set it, and what the setting must be."""

    setting: str
    source: str
    message: str

    def __str__(self) -> str:
        where = f"{self.setting} ({self.source})" if self.source else self.setting
        return f"{where}: {self.message}"


class SettingsError(ValueError):
    """The settings are invalid. The text is for the operator; it shows no value that could be a secret.

    `files` are the files that the settings name, as far as they could be read.
    """

    def __init__(self, problems: Iterable[Problem], files: Iterable[Path] = ()) -> None:
        self.problems = tuple(problems)
        self.files = tuple(files)
        super().__init__("\n".join(["Invalid settings:", *(f"- {problem}" for problem in self.problems)]))


class StartupError(Exception):
    """The server cannot start: an address, a certificate or a route is unusable. The message names it."""


def looks_like_secret(text: str) -> bool:
    """Return whether the text has the shape of a provider's API key.

    >>> looks_like_secret("sk-ant-api03-0123456789"), looks_like_secret("claude/latest")
    (True, False)
    """
    return text.lower().startswith(KEY_PREFIXES) and len(text) >= 8


def display_name(name: str) -> str:
    """Return the name, or a mask if it could be a misplaced secret."""
    return name if PLAIN_NAME.fullmatch(name) and not looks_like_secret(name) else MASK


def dotted_path(path: SettingPath) -> str:
    """Return the path of a setting as an operator writes it, with each name passed through `display_name`.

    >>> dotted_path(("providers", "claude", "keys", 0, "weight"))
    'providers.claude.keys[0].weight'
    """
    parts = [f"[{part}]" if isinstance(part, int) else f".{display_name(part)}" for part in path]
    return "".join(parts).removeprefix(".") or "settings"


def problems_from(
    error: ValidationError, origin_of: Callable[[SettingPath], str], describe_unknown: Callable[[SettingPath], str]
) -> Iterator[Problem]:
    """Convert a validation error to problems; `describe_unknown` returns the message for an unknown setting."""
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != "[key]")
        for below, message in _messages(detail, path, describe_unknown):
            yield Problem(dotted_path(path + below), origin_of(path + below), message)


def _messages(
    detail: Any, path: SettingPath, describe_unknown: Callable[[SettingPath], str]
) -> tuple[tuple[SettingPath, str], ...]:
    match detail["type"]:
        case "invalid_values":
            found: tuple[tuple[SettingPath, str], ...] = detail["ctx"]["found"]
            return found
        case "extra_forbidden":
            return (((), describe_unknown(path)),)
        case "value_error":
            return (((), str(detail["ctx"]["error"])),)
        case "literal_error":
            return (((), f"must be {detail['ctx']['expected']}"),)
        case kind if kind in BOUNDS:
            limit, words = BOUNDS[kind]
            return (((), f"must be {words} {detail['ctx'][limit]:g}, got {detail['input']:g}"),)
        case kind if kind in LENGTHS:
            limit, words = LENGTHS[kind]
            length, count = detail["ctx"][limit], detail["ctx"]["actual_length"]
            return (((), f"must have {words} {length} item{'' if length == 1 else 's'}, got {count}"),)
        case kind:
            return (((), MESSAGES.get(kind, detail["msg"].replace("Input should be", "must be"))),)
