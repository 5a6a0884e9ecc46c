"""The `aimanager-server` command: arguments become settings, settings a server. Imports nothing slow before it must."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..config.loader import Loaded
    from ..config.settings import Settings

COMMANDS = ("serve", "config", "errors")
CONFIG_FILE = "aimanager.toml"
SERVER_FLAGS = (
    "listen",
    "health_listen",
    "metrics_listen",
    "reflection",
    "allow_anonymous",
    "default_model",
    "log_level",
)
"""The settings of `[server]` that have an argument of their own."""

SECRET_SETTINGS = frozenset({"api_key", "keys", "headers"})
"""Never taken from the command line, which every user of the machine can read."""

Serve = Callable[["Settings", bool], int]
"""Runs the server until it is told to stop; the flag asks for hints on what to try. Returns the exit code."""


def main(
    argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None, serve: Serve | None = None
) -> int:
    """Do what the arguments say and return the exit code: 0, 1 where packages are missing, 2 for unusable settings."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parse(given)
    try:
        return _do(options, os.environ if environment is None else environment, serve or _serve)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("aimanager", "aimanager_server"):
            raise
        return _failed(f"{error.name} is missing; install the server with: pip install 'aimanager[server]'", 1)


def _do(options: argparse.Namespace, environment: Mapping[str, str], serve: Serve) -> int:
    if options.command == "errors":
        from .error_reference import error_reference

        return _print(error_reference())
    if options.command == "config" and options.sample:
        return _print(Path(__file__).parents[1].joinpath("config/sample.toml").read_text("utf-8"))
    from ..config.errors import SettingsError

    try:
        loaded = _load(options, environment)
    except SettingsError as error:
        return _failed(str(error), 2)
    if options.command == "config":
        from ..config.report import report

        return _print(report(loaded))
    return serve(loaded.settings, options.hints)


def _serve(settings: Settings, hints: bool) -> int:
    from ..app import run

    return run(settings, hints=hints)


def _load(options: argparse.Namespace, environment: Mapping[str, str]) -> Loaded:
    from ..config.loader import CONFIG_VARIABLE, load

    named = options.config or environment.get(CONFIG_VARIABLE)
    fallback = Path(CONFIG_FILE)
    config = Path(named) if named else fallback if fallback.exists() else None
    return load(_arguments(options), config, environment)


def _arguments(options: argparse.Namespace) -> Mapping[str, Any]:
    """What was said on the command line, nested as a file is; an argument of its own beats `--set`."""
    from ..config.coercion import nested, value_of
    from ..config.layers import Tree

    tree = Tree()
    for name in SERVER_FLAGS:
        value = getattr(options, name)
        if value is not None:
            tree.fill(nested(("server", name), value), "argument")
    for key, text in reversed(options.set):
        tree.fill(nested(key, value_of(text, key)), "argument")
    return tree.values


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _failed(text: str, code: int) -> int:
    sys.stderr.write(f"aimanager-server: {text}\n")
    return code


def _parse(given: list[str]) -> argparse.Namespace:
    """The options. Arguments that fit nowhere are named without their values: one could be a key."""
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given = ["serve", *given]
    parser = _parser()
    if given[0] not in COMMANDS and not given[0].startswith("-"):
        nearest = get_close_matches(given[0], COMMANDS, n=1)
        parser.error(f"no such command; accepted: {', '.join(nearest or COMMANDS)}")
    options, unknown = parser.parse_known_args(given)
    if unknown:
        names = [argument.split("=")[0] for argument in unknown if argument.startswith("-")]
        parser.error(f"no such argument: {', '.join(names) or 'one without a name'}; --help shows those accepted")
    return options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"aimanager-server: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="aimanager-server", description="One typed gRPC API in front of every model provider.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="{serve,config,errors}", parser_class=_Parser)
    shared = _settings_arguments()
    serve = commands.add_parser("serve", parents=[shared], allow_abbrev=False, help="run the server (the default)")
    serve.add_argument("--hints", action="store_true", help="print what to try once the server is up")
    config = commands.add_parser(
        "config", parents=[shared], allow_abbrev=False, help="print the settings in force and where each comes from"
    )
    config.add_argument("--sample", action="store_true", help="print a commented config file instead")
    commands.add_parser("errors", allow_abbrev=False, help="print the error reference as Markdown")
    return parser


def _settings_arguments() -> _Parser:
    shared = _Parser(add_help=False, allow_abbrev=False)
    shared.add_argument(
        "--config", metavar="PATH", help=f"the config file; else AIMANAGER_CONFIG, else ./{CONFIG_FILE} if there is one"
    )
    shared.add_argument("--listen", metavar="ADDR", help="host:port of the API")
    shared.add_argument("--health-listen", metavar="ADDR|off", help="host:port of grpc.health.v1 alone, in plaintext")
    shared.add_argument("--metrics-listen", metavar="ADDR|off", help="host:port for Prometheus")
    shared.add_argument("--reflection", action="store_true", default=None, help="let tools list the API")
    shared.add_argument("--allow-anonymous", action="store_true", default=None, help="serve callers without a token")
    shared.add_argument("--default-model", metavar="MODEL", help="the model of calls that name none")
    shared.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    shared.add_argument(
        "--set",
        metavar="KEY=VALUE",
        type=_assignment,
        action="append",
        default=[],
        help="any other setting, such as retry.attempts=2; lists and tables as JSON",
    )
    return shared


def _assignment(text: str) -> tuple[tuple[str, ...], str]:
    key, equals, value = text.partition("=")
    place = tuple(key.strip().split("."))
    if not equals or not all(place):
        raise argparse.ArgumentTypeError("accepted is KEY=VALUE, such as retry.attempts=2")
    if not SECRET_SETTINGS.isdisjoint(place):
        raise argparse.ArgumentTypeError(
            "a key on the command line can be read by every user of the machine; accepted is api_key_file, "
            "the config file or the provider's environment variable"
        )
    return place, value


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            text = version("aimanager")
        except PackageNotFoundError:
            text = "(not installed)"
        _print(f"aimanager {text}\n")
        parser.exit()
