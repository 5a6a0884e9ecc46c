"""Rules for the structure of the source tree: import order, cycles, foreign packages, names and lengths of files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

LAYERS = (
    ("core",),
    ("config", "catalog"),
    ("telemetry", "resilience"),
    ("validation", "routing", "structured_output", "artifacts", "safety", "storage", "extensions"),
    ("pipeline", "operations", "providers"),
    ("rpc",),
    ("plugins", "state", "app", "lifecycle", "reload", "embedded", "testing", "commands", "__main__"),
)
"""Packages and modules of the server from the bottom up. Each imports lower layers, and its own layer to its left."""

SEPARATE = ("pipeline", "operations", "providers")
"""These never import each other, and rpc imports neither pipeline nor providers: app.py joins them."""

GRPC_PACKAGES = ("rpc", "commands.healthcheck", "commands.demo", "testing")
HTTP_PACKAGES = ("providers.http", "providers.endpoints", "providers.attachments", "providers.plugins")
CLIENT_USERS = ("commands.demo", "testing.fixtures")
CLIENT_DEPENDENCIES = {"grpc", "google", "aimanager"}
MEANINGLESS_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}
MAX_LINES = 400


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name as a full dotted path. `typing`: under TYPE_CHECKING. `lazy`: inside a function."""

    name: str
    line: int
    typing: bool = False
    lazy: bool = False

    @property
    def top(self) -> str:
        """The distribution or package that the name belongs to."""
        return self.name.split(".")[0]


def violations(root: Path) -> list[str]:
    """Return one sentence for each broken rule in the tree under `root`."""
    server, client = root / "server/aimanager_server", root / "clients/python/aimanager"
    found = [f"{_relative(root, path)}: {text}" for path in _python(server) for text in _server_rules(server, path)]
    found += [f"{_relative(root, path)}: {text}" for path in _python(client) for text in _client_rules(client, path)]
    found += [f"{_relative(root, path)}: {text}" for path in _handwritten(root) for text in _file_rules(path)]
    return found


def import_edges(package: Path) -> set[tuple[str, str]]:
    """Return the pairs (importer, imported) of packages and modules at the top level of `package`."""
    edges = set()
    for path in _python(package):
        own = _module(package, path)[0]
        targets = {item.name.split(".")[1] for item in imports(package, path) if _is_inside(package, item)}
        edges |= {(own, target) for target in targets if target not in (own, "__version__")}
    return edges


def cycle(package: Path) -> list[str]:
    """Return the modules of one import cycle in `package`; empty if there is none."""
    modules = {".".join((package.name, *_module(package, path))): path for path in _python(package)}
    graph = {
        name: {target for item in imports(package, path) if not item.typing for target in _imported(item.name, modules)}
        for name, path in modules.items()
    }
    try:
        TopologicalSorter({name: targets - {name} for name, targets in graph.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _imported(name: str, modules: dict[str, Path]) -> Iterator[str]:
    parent = name.rpartition(".")[0]
    yield from (target for target in (name if name in modules else parent,) if target in modules)


def _server_rules(package: Path, path: Path) -> Iterator[str]:
    own = _module(package, path)
    name = ".".join(own)
    for item in imports(package, path):
        where = f"line {item.line}: {name}"
        if item.top == "httpx" and not _is_in(name, HTTP_PACKAGES):
            yield f"{where} imports httpx, which belongs in {', '.join(HTTP_PACKAGES)}"
        if _is_grpc(item.top) and not _is_in(name, GRPC_PACKAGES):
            yield f"{where} imports {item.name}, which belongs in {', '.join(GRPC_PACKAGES)}"
        if item.top == "aimanager" and not item.name.startswith("aimanager.v1") and name not in CLIENT_USERS:
            yield f"{where} imports {item.name}; of the client the server uses aimanager.v1 alone"
        if own[0] == "core" and item.top != package.name and item.top not in sys.stdlib_module_names:
            yield f"{where} imports {item.name}; core uses the standard library alone"
        if _is_inside(package, item) and not _is_ordered(own[0], item.name.split(".")[1]):
            yield f"{where} imports {item.name} against the import order"


def _is_ordered(own: str, target: str) -> bool:
    if own == target or target.startswith("__"):
        return True
    if target in SEPARATE and (own in SEPARATE or (own == "rpc" and target != "operations")):
        return False
    order = [name for layer in LAYERS for name in layer]
    return own in order and target in order and order.index(target) < order.index(own)


def _client_rules(package: Path, path: Path) -> Iterator[str]:
    own = _module(package, path)
    for item in imports(package, path):
        where = f"line {item.line}: {'.'.join(own)}"
        if item.top == "aimanager_server" and not (own == ("embedded",) and item.lazy):
            yield f"{where} imports the server; only embedded.py does, lazily"
        foreign = item.top not in sys.stdlib_module_names and item.top not in CLIENT_DEPENDENCIES
        if foreign and item.top != "aimanager_server" and not (item.lazy or item.typing):
            yield f"{where} imports {item.top}, which is not installed with the client"
        if own[0] == "v1" and item.top == "aimanager" and not item.name.startswith("aimanager.v1"):
            yield f"{where} imports {item.name}; generated code imports generated code alone"


def _file_rules(path: Path) -> Iterator[str]:
    for word in sorted(set(path.stem.split("_")) & MEANINGLESS_NAMES):
        yield f"{word!r} says nothing: name the file for its concept"
    lines = len(path.read_text("utf-8").splitlines())
    if lines > MAX_LINES:
        yield f"must have at most {MAX_LINES} lines, got {lines}"


def imports(package: Path, path: Path) -> list[Import]:
    """Return everything that a file imports, relative imports resolved; `from x import y` counts as x.y."""
    parents = (package.name, *path.relative_to(package).parent.parts)
    return list(_walk(ast.parse(path.read_text("utf-8"), str(path)), parents, Import("", 0)))


def _walk(node: ast.AST, parents: tuple[str, ...], template: Import) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from (replace(template, name=name, line=child.lineno) for name in _names(child, parents))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, parents, replace(template, lazy=True))
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _walk(ast.Module(child.body, []), parents, replace(template, typing=True))
            yield from _walk(ast.Module(child.orelse, []), parents, template)
        else:
            yield from _walk(child, parents, template)


def _names(statement: ast.Import | ast.ImportFrom, parents: tuple[str, ...]) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    start = parents[: len(parents) - statement.level + 1] if statement.level else ()
    source = ".".join((*start, *(statement.module or "").split("."))).strip(".")
    return [source if alias.name == "*" else f"{source}.{alias.name}" for alias in statement.names]


def _is_inside(package: Path, item: Import) -> bool:
    return item.name.startswith(f"{package.name}.")


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _is_grpc(top: str) -> bool:
    return top in {"google", "aimanager"} or top.split("_")[0] == "grpc"


def _module(package: Path, path: Path) -> tuple[str, ...]:
    parts = path.relative_to(package).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


def _python(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _handwritten(root: Path) -> list[Path]:
    folders = [root / name for name in ("server", "clients", "tests", ".ci")]
    found = [path for folder in folders for suffix in ("*.py", "*.ts") for path in folder.rglob(suffix)]
    return sorted(path for path in found if not {"node_modules", "gen", "dist", "v1"} & set(path.parts))


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
