"""Says what is wrong with the settings: every problem at once, by key and source, and never a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .types import Place

if TYPE_CHECKING:
    from pydantic import ValidationError

PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,39}")
KEY_PREFIXES = ("sk-", "sk_", "xai-", "gsk_", "aiza", "ghp_", "hf_")
MASK = "••••"

PLAINER = {
    "int_type": "accepted is a whole number",
    "float_type": "accepted is a number",
    "finite_number": "accepted is a finite number",
    "bool_type": "accepted is true or false",
    "string_type": "accepted is text",
    "path_type": "accepted is the path of a file",
    "list_type": "accepted is a list",
    "dict_type": "accepted is a table",
    "model_type": "accepted is a table",
    "missing": "is missing",
    "string_too_short": "is empty; accepted is text",
}
"""What pydantic says less plainly, by its name for the error."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One value that cannot be used: its key, where it was said, and what would be accepted."""

    key: str
    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.key} ({self.source}): {self.text}" if self.source else f"{self.key}: {self.text}"


class SettingsError(ValueError):
    """The settings cannot be used. Its text is meant for the operator as it is, and holds no value."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(["The settings cannot be used:", *(f"- {problem}" for problem in self.problems)]))


def looks_secret(text: str) -> bool:
    """Whether the text has the shape of a provider's key, wherever it stands.

    >>> looks_secret("sk-ant-api03-0123456789"), looks_secret("claude/latest")
    (True, False)
    """
    return text.lower().startswith(KEY_PREFIXES) and len(text) >= 8


def shown(name: str) -> str:
    """The name, or a mask where it could be a secret in the wrong place."""
    return name if PLAIN_NAME.fullmatch(name) and not looks_secret(name) else MASK


def key_of(place: Place) -> str:
    """The place as a reader writes it, its names as `shown`.

    >>> key_of(("providers", "claude", "keys", 0, "weight"))
    'providers.claude.keys[0].weight'
    """
    parts = [f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in place]
    return "".join(parts).removeprefix(".") or "settings"


def problems_of(
    error: ValidationError, source_of: Callable[[Place], str], hint: Callable[[Place], str]
) -> Iterator[Problem]:
    """The problems that validation found; `hint` says what is accepted instead of an unknown key."""
    for detail in error.errors(include_url=False, include_input=False):
        place = tuple(part for part in detail["loc"] if part != "[key]")
        for below, text in _found(detail, hint, place):
            yield Problem(key_of(place + below), source_of(place + below), text)


def _found(detail: Any, hint: Callable[[Place], str], place: Place) -> tuple[tuple[Place, str], ...]:
    match detail["type"]:
        case "misfits":
            found: tuple[tuple[Place, str], ...] = detail["ctx"]["found"]
            return found
        case "extra_forbidden":
            return (((), hint(place)),)
        case "value_error":
            return (((), str(detail["ctx"]["error"])),)
        case "literal_error":
            return (((), f"accepted is {detail['ctx']['expected']}"),)
        case kind:
            return (((), PLAINER.get(kind, detail["msg"].replace("Input should be", "accepted is a number"))),)
