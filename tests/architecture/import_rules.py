"""Says where the tree leaves its own order: imports that point up, files too long, names that say nothing."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

GROUND = ("fault", "errors", "content", "usage", "reply", "call", "handler", "embedding")
"""Floor 0: each imports only those on its left, and nothing foreign."""

FAMILIES = {
    "settings": r"settings|settings_\w+|provider_defaults",
    "catalogue": r"catalogue|catalogue_\w+|model|pricing",
    "log": "log",
    "metrics": "metrics",
}
"""Floor 1: the modules of each family. A family imports itself and the ground."""

FLOORS = {"state": 2, "pipeline": 3, "providers": 3, "rpc": 4}
"""Folders. Whatever is named nowhere is on floor 5, which may import everything and which nothing below may import."""

HTTP = {"providers", "app"}
WIRE = {"rpc", "server", "health", "probe"}
"""Who may know gRPC, protobuf and the generated stubs."""

CLIENT_NEEDS = {"grpc", "google", "aimanager"}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}
LONGEST = 250


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name as a full dotted path. `typing`: only for annotations. `lazy`: inside a function."""

    name: str
    line: int
    typing: bool = False
    lazy: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        """The steps of the dotted path."""
        return tuple(self.name.split("."))


def violations(root: Path) -> list[str]:
    """One sentence for each place in the tree under `root` that breaks a rule; empty where all is well."""
    server, client = root / "server/aimanager_server", root / "clients/python/aimanager"
    found = [f"{_where(root, path)}: {word}" for path in _python(server) for word in _server_rules(server, path)]
    found += [f"{_where(root, path)}: {word}" for path in _python(client) for word in _client_rules(client, path)]
    found += [f"{_where(root, path)}: {word}" for path in _handwritten(root) for word in _file_rules(path)]
    return found


def _server_rules(package: Path, path: Path) -> Iterator[str]:
    own = path.relative_to(package).with_suffix("").parts
    for item in imports(package, path):
        top = item.path[0]
        if top == "httpx" and own[0] not in HTTP:
            yield f"line {item.line}: httpx belongs in {sorted(HTTP)}"
        if _is_wire(top) and own[0] not in WIRE and not _lets_in(own, item):
            yield f"line {item.line}: {item.name} belongs in {sorted(WIRE)}"
        if top == "aimanager" and item.path[1:2] != ("v1",) and own[0] != "demo":
            yield f"line {item.line}: the server imports aimanager.v1 and nothing else of the client, not {item.name}"
        if own[0] in GROUND and top != package.name and top not in sys.stdlib_module_names:
            yield f"line {item.line}: floor 0 knows nothing foreign such as {item.name}"
        if top == package.name and not _points_down(own, item):
            yield f"line {item.line}: {'.'.join(own)} may not import {item.name}"


def _is_wire(top: str) -> bool:
    return top in {"google", "aimanager"} or top.split("_")[0] == "grpc"


def _lets_in(own: tuple[str, ...], item: Import) -> bool:
    """The demo is a client, so it may hold the facade."""
    return own[0] == "demo" and item.path[0] in {"grpc", "aimanager"}


def _points_down(own: tuple[str, ...], item: Import) -> bool:
    target = item.path[1:]
    if not target or floor(own) == 5 or target[0].startswith("__"):
        return True
    if own[0] in GROUND:
        left = GROUND[: GROUND.index(own[0])]
        return target[0] in left or (own[0] == "fault" and item.typing and target[0] in GROUND)
    if floor(own) == 1:
        return target[0] in GROUND or _family(target[0]) == _family(own[0])
    if target[0] == own[0]:
        return True
    if own[0] == "state":
        return target[0] in GROUND
    if own[0] == "rpc" and floor(target) == 3:
        return target[:2] == ("pipeline", "resolve")
    return floor(target) < floor(own)


def floor(path: tuple[str, ...]) -> int:
    """The floor of a module, told by its path inside the server package."""
    if path[0] in GROUND:
        return 0
    if _family(path[0]):
        return 1
    return FLOORS.get(path[0], 5)


def _family(module: str) -> str:
    return next((family for family, names in FAMILIES.items() if re.fullmatch(names, module)), "")


def _client_rules(package: Path, path: Path) -> Iterator[str]:
    own = path.relative_to(package).with_suffix("").parts
    for item in imports(package, path):
        top = item.path[0]
        if top == "aimanager_server" and not (own == ("embedded",) and item.lazy):
            yield f"line {item.line}: the client never imports the server, but for a lazy import in embedded.py"
        foreign = top not in sys.stdlib_module_names and top not in CLIENT_NEEDS
        if foreign and top != "aimanager_server" and not (item.lazy or item.typing):
            yield f"line {item.line}: {top} is not installed with the client"
        if own[0] == "v1" and top == "aimanager" and item.path[1:2] != ("v1",):
            yield f"line {item.line}: generated code imports generated code only"


def _file_rules(path: Path) -> Iterator[str]:
    for word in path.stem.split("_"):
        if word in EMPTY_NAMES:
            yield f"{word!r} says nothing: name what the file is for"
    lines = len(path.read_text().splitlines())
    if lines > LONGEST:
        yield f"{lines} lines are too many: {LONGEST} at most"


def imports(package: Path, path: Path) -> list[Import]:
    """Everything a file imports, relative imports resolved; `from x import y` counts as x.y."""
    parts = (package.name, *path.relative_to(package).parent.parts)
    return list(_walk(ast.parse(path.read_text(), str(path)), parts, Import("", 0)))


def _walk(node: ast.AST, package: tuple[str, ...], mark: Import) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from (replace(mark, name=name, line=child.lineno) for name in _names(child, package))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, package, replace(mark, lazy=True))
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _walk(ast.Module(child.body, []), package, replace(mark, typing=True))
            yield from _walk(ast.Module(child.orelse, []), package, mark)
        else:
            yield from _walk(child, package, mark)


def _names(statement: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    start = package[: len(package) - statement.level + 1] if statement.level else ()
    source = ".".join((*start, *(statement.module or "").split("."))).strip(".")
    return [source if alias.name == "*" else f"{source}.{alias.name}" for alias in statement.names]


def _python(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _handwritten(root: Path) -> list[Path]:
    folders = [root / name for name in ("server", "clients", "tests", ".ci")]
    found = [path for folder in folders for end in ("*.py", "*.ts") for path in folder.rglob(end)]
    return sorted(path for path in found if not _generated(path))


def _generated(path: Path) -> bool:
    return bool({"node_modules", "gen", "dist", "v1"} & set(path.parts))


def _where(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
