"""Which test runs which code block of the documentation.

`test_code_blocks.py` runs or checks the blocks of every page in these languages: python, toml, yaml, sh. A block in any
other language, and a shell command that it does not run itself, needs a test of its own. A test module in this folder
registers its tests with two constants, which are read from its source and must be literals:

    RUNS = {("go.md", "go"): "test_every_go_example_runs"}
    COMMANDS = {"make demo": "tests/commands/test_demo.py::test_the_demo_runs"}

`RUNS` maps a page and a language to the test of this module that covers **every** block of that language on that page,
usually by parametrizing over `code_blocks("go.md", "go")`. It also replaces the general test of a language above, for
example for Python blocks that need more than a gateway with the mock provider.

`COMMANDS` maps a command, as it stands in a `sh` block of any page (comments and line continuations removed), to the
test that runs it. The path is relative to the root of the repository.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Runners:
    """The registered tests, as "path::name": by page and language, and by shell command."""

    blocks: dict[tuple[str, str], str]
    commands: dict[str, str]


@cache
def runners() -> Runners:
    """Return the tests that the modules of this folder register. Raises ValueError if two register the same."""
    found = Runners({}, {})
    for path in sorted(FOLDER.glob("test_*.py")):
        constants = _constants(path)
        tests = {key: f"{_relative(path)}::{name}" for key, name in constants.get("RUNS", {}).items()}
        _register(found.blocks, tests, path)
        _register(found.commands, constants.get("COMMANDS", {}), path)
    return found


def _register(registered: dict[Any, str], added: dict[Any, str], path: Path) -> None:
    if twice := registered.keys() & added.keys():
        raise ValueError(f"{_relative(path)}: another module has registered {sorted(twice)}")
    registered.update(added)


def missing_tests() -> list[str]:
    """Return the registered tests that do not exist."""
    registered = runners()
    tests = {*registered.blocks.values(), *registered.commands.values()}
    return sorted(test for test in tests if not _exists(*test.split("::")))


def _exists(path: str, name: str = "") -> bool:
    file = ROOT / path
    return file.is_file() and any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name for node in _parse(file).body
    )


def _constants(path: Path) -> dict[str, dict[Any, str]]:
    return {
        target.id: _literal(node.value, path)
        for node in _parse(path).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("RUNS", "COMMANDS")
    }


def _literal(node: ast.expr, path: Path) -> dict[Any, str]:
    try:
        return dict(ast.literal_eval(node))
    except ValueError:
        raise ValueError(f"{_relative(path)}:{node.lineno}: must be a literal, as it is read from the source") from None


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
