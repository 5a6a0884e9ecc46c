"""The `aimanager-server` command. Imports are deferred, so that help and reference output stay fast."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..config.loader import ConfigSource
    from ..config.settings import Settings

COMMANDS = ("serve", "config", "storage", "token", "errors")
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
"""Settings of `[server]` that have their own flag."""

STORAGE_ACTIONS = ("check", "migrate", "status", "key", "reencrypt")

SECRET_SETTINGS = frozenset({"api_key", "keys", "headers"})
"""Rejected on the command line, which every user of the machine can read."""

Serve = Callable[["Settings", "ConfigSource", bool], int]
"""Run the server until a signal and return the exit status. The source of the settings is for reloads; the flag
requests the quickstart text."""


def main(
    argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None, serve: Serve | None = None
) -> int:
    """Run a command and return its exit status: 0, 1 for a failed start, 2 for invalid arguments or settings."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parse(arguments)
    try:
        return _execute(options, os.environ if environment is None else environment, serve or _serve)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("aimanager", "aimanager_server"):
            raise
        return _fail(f"missing package {error.name}; install the server with: pip install 'aimanager[server]'", 1)


def _execute(options: argparse.Namespace, environment: Mapping[str, str], serve: Serve) -> int:
    if options.command == "errors":
        from .error_reference import error_reference

        return _print(error_reference())
    if options.command == "token":
        return _print_token(options)
    if options.command == "storage" and options.action == "key":
        from .storage import print_key

        return print_key()
    if options.command == "config" and options.sample:
        return _print(Path(__file__).parents[1].joinpath("config/sample.toml").read_text("utf-8"))
    from ..config.errors import SettingsError

    try:
        with _no_garbage_collection():
            source = _source(options, environment)
            loaded = source.load()
            if getattr(options, "quickstart", False) and loaded.settings.storage.url is None:
                from ..config.storage import user_database_url

                source = _source(options, environment, {"storage": {"url": user_database_url(environment)}})
                loaded = source.load()
    except SettingsError as error:
        return _fail(str(error), 2)
    if options.command == "storage":
        from .storage import run_storage

        return run_storage(options.action, loaded.settings)
    if options.command == "config":
        _warn_of_unknown_variables(environment)
        if options.check:
            from .serve import check

            return check(loaded.settings)
        from ..config.report import settings_report

        return _print(settings_report(loaded))
    return serve(loaded.settings, source, options.quickstart)


def _warn_of_unknown_variables(environment: Mapping[str, str]) -> None:
    from ..config.environment import unknown_variables

    for variable in unknown_variables(environment):
        sys.stderr.write(f"aimanager-server: warning: {variable}\n")


def _print_token(options: argparse.Namespace) -> int:
    """Print the token to stdout and its table to stderr, so that a script can pass the token on without showing it."""
    from .token import new_token, token_table

    token = new_token()
    try:
        table = token_table(token, options.name, options.expires)
    except ValueError as error:
        return _fail(str(error), 2)
    sys.stderr.write(table)
    return _print(f"{token}\n")


def _serve(settings: Settings, source: ConfigSource, quickstart: bool) -> int:
    with _no_garbage_collection():
        from .serve import run

    return run(settings, source, quickstart=quickstart)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Import without collections, which would find nothing and take a tenth of the startup time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _source(
    options: argparse.Namespace, environment: Mapping[str, str], more: Mapping[str, Any] = MappingProxyType({})
) -> ConfigSource:
    from ..config.environment import CONFIG_ENV
    from ..config.loader import ConfigSource

    chosen = options.config or environment.get(CONFIG_ENV)
    default = Path(CONFIG_FILE)
    config = Path(chosen) if chosen else default if default.exists() else None
    return ConfigSource({**_arguments(options), **more}, config, environment)


def _arguments(options: argparse.Namespace) -> Mapping[str, Any]:
    """Return the settings from the command line, nested as in the file; a flag takes precedence over `--set`."""
    from ..config.coercion import nest, parse_value
    from ..config.layers import ConfigLayers

    layers = ConfigLayers()
    for name in SERVER_FLAGS:
        value = getattr(options, name)
        if value is not None:
            layers.add(nest(("server", name), value), "argument")
    for path, text in reversed(options.set):
        layers.add(nest(path, parse_value(text, path)), "argument")
    if getattr(options, "quickstart", False):
        layers.add({"providers": {"mock": {}}}, "argument")
    return layers.values


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _fail(text: str, status: int) -> int:
    sys.stderr.write(f"aimanager-server: {text}\n")
    return status


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments. Errors name unknown arguments without their values: one could be a key."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments = ["serve", *arguments]
    parser = _parser()
    if arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        nearest = get_close_matches(arguments[0], COMMANDS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"must be one of {', '.join(COMMANDS)}"
        parser.error(f"unknown command; {hint}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        names = [argument.split("=")[0] for argument in unknown if argument.startswith("-")]
        problem = f"unknown argument: {', '.join(names)}" if names else "unexpected positional argument"
        parser.error(f"{problem}; see --help")
    return options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"aimanager-server: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="aimanager-server", description="One typed gRPC API in front of many model providers.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    names = ",".join(COMMANDS)
    commands = parser.add_subparsers(dest="command", metavar=f"{{{names}}}", parser_class=_Parser)
    shared = _settings_arguments()
    serve = commands.add_parser("serve", parents=[shared], allow_abbrev=False, help="run the server (default)")
    serve.add_argument(
        "--quickstart", action="store_true", help="add the mock provider, and print example commands once ready"
    )
    config = commands.add_parser(
        "config", parents=[shared], allow_abbrev=False, help="print the effective settings and their origins"
    )
    config.add_argument(
        "--check", action="store_true", help="run every check of `serve` instead, and exit with its status"
    )
    config.add_argument("--sample", action="store_true", help="print a commented config file instead")
    storage = commands.add_parser(
        "storage", parents=[shared], allow_abbrev=False, help="check or migrate the database of conversations"
    )
    storage.add_argument(
        "action",
        choices=STORAGE_ACTIONS,
        help="`key` prints a new line for encryption_key_file, `reencrypt` uses its first key for all that is stored",
    )
    token = commands.add_parser(
        "token",
        allow_abbrev=False,
        help="print a new token of a caller, and its table for the config file to stderr",
    )
    token.add_argument("name", metavar="NAME", help="name of the caller, as in [callers.NAME]")
    token.add_argument("--expires", metavar="DATE", help="when the token expires, such as 2027-01-31")
    commands.add_parser("errors", allow_abbrev=False, help="print the error reference as Markdown")
    return parser


def _settings_arguments() -> _Parser:
    shared = _Parser(add_help=False, allow_abbrev=False)
    shared.add_argument(
        "--config", metavar="PATH", help=f"config file (default: $AIMANAGER_CONFIG, then ./{CONFIG_FILE} if it exists)"
    )
    shared.add_argument("--listen", metavar="ADDRESS", help="HOST:PORT of the API")
    shared.add_argument("--health-listen", metavar="ADDRESS|off", help="HOST:PORT of a plaintext grpc.health.v1 server")
    shared.add_argument("--metrics-listen", metavar="ADDRESS|off", help="HOST:PORT of the Prometheus endpoint")
    shared.add_argument("--reflection", action="store_true", default=None, help="enable gRPC server reflection")
    shared.add_argument("--allow-anonymous", action="store_true", default=None, help="accept callers without a token")
    shared.add_argument("--default-model", metavar="MODEL", help="model for requests that do not name one")
    shared.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    shared.add_argument(
        "--set",
        metavar="KEY=VALUE",
        type=_assignment,
        action="append",
        default=[],
        help="any other setting, such as retry.max_attempts=2; lists and tables as JSON",
    )
    return shared


def _assignment(text: str) -> tuple[tuple[str, ...], str]:
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise argparse.ArgumentTypeError("must be KEY=VALUE, such as retry.max_attempts=2")
    if not SECRET_SETTINGS.isdisjoint(path) or (path == ("storage", "url") and "@" in value):
        raise argparse.ArgumentTypeError(
            "secrets must not be passed on the command line, which every user of the machine can read; use "
            "api_key_file, the config file, or the provider's environment variable"
        )
    return path, value


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            text = version("aimanager")
        except PackageNotFoundError:
            text = "(not installed)"
        _print(f"aimanager {text}\n")
        parser.exit()
