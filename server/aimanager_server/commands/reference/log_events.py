"""Collect every log event of the server, with its level and fields, from the calls of its loggers in the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ...telemetry.logs import LEVELS

PACKAGE = Path(__file__).parents[2]
EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
LEVEL_OF_METHOD = {**{level: level for level in LEVELS}, "exception": "error"}
LOGGERS = frozenset({"log", "_log", "get_logger"})
"""Names of loggers, and of the function that returns one."""
RENAMED_FIELDS = {"exc_info": "exception"}
"""Arguments that a line contains under another name."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An event with its level and the names of its fields, in the order of the line. `module` is where it is logged."""

    name: str
    level: str
    fields: tuple[str, ...]
    module: str


def log_events(package: Path = PACKAGE) -> list[LogEvent]:
    """Return the events of all modules, sorted by name.

    Raises ValueError if two calls log one event differently, or if the name of an event is not a literal.
    """
    found: dict[str, LogEvent] = {}
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package).as_posix()
        for event in _module_events(module, ast.parse(path.read_text("utf-8"), str(path))):
            known = found.setdefault(event.name, event)
            if (known.level, known.fields) != (event.level, event.fields):
                raise ValueError(f"{event.name} is logged differently in {known.module} and {module}")
    return [found[name] for name in sorted(found)]


def _module_events(module: str, tree: ast.Module) -> Iterator[LogEvent]:
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
    owners = {id(node): function for function in functions.values() for node in ast.walk(function)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        names, level = _logged(call)
        if not names and _is_logger_call(call):
            raise ValueError(f"{module}:{call.lineno}: the name of the event must be a literal, such as 'a.b'")
        fields = tuple(dict.fromkeys(_fields(call, owners.get(id(call)), functions, tree)))
        yield from (LogEvent(name, level, fields, module) for name in names)


def _logged(call: ast.Call) -> tuple[list[str], str]:
    """Return the events that a call may log, and their level; no events if it is not a call of a logger."""
    texts = [list(_strings(argument)) for argument in call.args]
    if isinstance(call.func, ast.Attribute) and call.func.attr in LEVEL_OF_METHOD and texts:
        return [text for text in texts[0] if EVENT.fullmatch(text)], LEVEL_OF_METHOD[call.func.attr]
    for level, events in pairwise(texts):  # a line that is rendered directly
        if level and level[0] in LEVELS:
            return [text for text in events if EVENT.fullmatch(text)], level[0]
    return [], ""


def _is_logger_call(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVEL_OF_METHOD:
        return False
    receiver = ast.unparse(call.func.value).removesuffix("()").rpartition(".")[2]
    return receiver in LOGGERS


def _strings(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _strings(node.body)
        yield from _strings(node.orelse)


def _fields(call: ast.Call, owner: Function | None, functions: dict[str, Function], tree: ast.Module) -> Iterator[str]:
    for argument in call.args[1:]:
        yield from _keys([argument])
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield RENAMED_FIELDS.get(keyword.arg, keyword.arg)
        else:
            yield from _unpacked(keyword.value, owner, functions, tree)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
        yield "exception"


def _unpacked(
    value: ast.expr, owner: Function | None, functions: dict[str, Function], tree: ast.Module
) -> Iterator[str]:
    """Yield the keys of `**value`: of a dictionary, a local variable, a parameter `**name`, or a method's result."""
    if isinstance(value, ast.Name) and owner is not None:
        if owner.args.kwarg is not None and owner.args.kwarg.arg == value.id:
            yield from _keywords_of_calls(owner, tree)
        yield from _keys(node for node in owner.body if isinstance(node, ast.Assign))
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in functions:
        yield from _keys([functions[value.func.attr]])
    else:
        yield from _keys([value])


def _keywords_of_calls(function: Function, tree: ast.Module) -> Iterator[str]:
    parameters = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == function.name:
            yield from (each.arg for each in node.keywords if each.arg is not None and each.arg not in parameters)


def _keys(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Dict):
                yield from (text for key in node.keys if key is not None for text in _strings(key))
