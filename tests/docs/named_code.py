"""The files and names of the code that a page of the documentation mentions, and whether they exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT

SOURCES = (ROOT / "server" / "aimanager_server", ROOT / "clients" / "python", ROOT)
"""What paths are relative to, the first of which that has the file."""
Step = tuple[str, str]
"""A path and a name in it."""
FILE = re.compile(r"`([\w/.-]+\.(?:py|toml))`(?: `([\w.]+)`)?")


def undefined(named: Iterable[Step]) -> Sequence[str]:
    """Return those whose file does not exist or does not define the name."""
    return sorted(f"{path}: {name}" for path, name in set(named) if not is_defined(path, name))


def is_defined(path: str, name: str) -> bool:
    """Return whether the file exists and defines the name; an empty name stands for the file."""
    file = _file(path)
    return file is not None and (not name or name in defined(file))


def named_code(page: str) -> list[Step]:
    """Return each `path.py` of a page with the `name` in it that follows, empty if none does."""
    return FILE.findall(page)


@cache
def defined(file: Path) -> frozenset[str]:
    """Return the names that a file defines: of constants, functions, classes, and members of classes."""
    return frozenset(name for node in ast.parse(file.read_text("utf-8")).body for name in _names(node))


def _file(path: str) -> Path | None:
    return next((source / path for source in SOURCES if (source / path).is_file()), None)


def _names(node: ast.AST, prefix: str = "") -> list[str]:
    match node:
        case ast.ClassDef():
            members = [name for child in node.body for name in _names(child, f"{prefix}{node.name}.")]
            return [f"{prefix}{node.name}", *members]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [f"{prefix}{node.name}"]
        case ast.Assign():
            return [f"{prefix}{target.id}" for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [f"{prefix}{name}"]
        case _:
            return []
