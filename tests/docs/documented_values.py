"""Compare numbers in the tables of the documentation with the settings and constants that they describe."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from typing import Any

from aimanager_server.config.settings import Settings

UNITS = {"": 1.0, "s": 1.0, "KiB": 1024.0, "MiB": 1024.0**2}


def wrong_values(page: str) -> list[str]:
    """Return the rows `| what | number | source |` whose number differs from the one in the code.

    A source is a setting, such as `limits.max_tools`, or a module and its constant, such as `rpc/status.py` `MAX_NAME`.
    A fourth column may follow.
    """
    return [row for row, number, source in _rows(page) if _number(number) != _value(source)]


def documented_settings(page: str) -> set[str]:
    """Return the settings that have a row."""
    return {source for _, _, source in _rows(page) if "`" not in source}


def _rows(page: str) -> list[tuple[str, str, str]]:
    rows = re.findall(
        r"^(\| [^|]+ \| ([\d,.]+(?: \w+)?) \| `([\w.]+|\w[\w/]*\.py` `\w+)`(?: \| `\w+`)? \|)$", page, re.MULTILINE
    )
    return [(row, number, source) for row, number, source in rows]


def _number(text: str) -> float:
    number, _, unit = text.partition(" ")
    return float(number.replace(",", "")) * UNITS[unit]


def _value(source: str) -> float:
    path, _, constant = source.partition("` `")
    if not constant:
        settings: Any = Settings()
        return float(reduce(_member, source.split("."), settings))
    package = "" if path.startswith("aimanager/") else "aimanager_server."
    module = import_module(package + path.removesuffix(".py").replace("/", "."))
    return float(getattr(module, constant))


def _member(section: Any, name: str) -> Any:
    return section[name] if isinstance(section, dict) else getattr(section, name)
