"""The `aimanager` command: asks a model, lists the models, shows how the providers do and what was asked."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

from google.protobuf.json_format import MessageToDict

from .._transport.settings import LOCAL
from ..client import AIManager
from ..errors import AIError, ConfigurationError
from ..resources.health import ProviderHealth
from .ask import ask, ask_arguments
from .console import Console as Console
from .console import printed_json
from .metrics import metrics, metrics_arguments
from .tables import LEGEND, health_line, health_table, models_table, quality_table

Run = Callable[[AIManager, argparse.Namespace, Console], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STOPPED_BY_CTRL_C = 130
STOPPED_BY_CLOSED_PIPE = 141  # what a shell reports for SIGPIPE


def main(
    argv: Sequence[str] | None = None, console: Console | None = None, environment: Mapping[str, str] | None = None
) -> int:
    """Does what the arguments say and returns the exit code: 0, 1 for a failure, 130 for Ctrl-C.

    Unusable arguments raise SystemExit 2, as argparse has it.
    """
    console = console or Console(sys.stdin, sys.stdout, sys.stderr)
    environment = os.environ if environment is None else environment
    options = _parser(environment).parse_args(argv)
    try:
        with _client(options, environment) as client:
            code: int = options.run(client, options, console)
            return code
    except AIError as error:
        console.note(" ".join([f"aimanager: {str(error).removesuffix('.')}.", error.solution]).rstrip())
        return 1
    except KeyboardInterrupt:
        return STOPPED_BY_CTRL_C
    except BrokenPipeError:
        _leave_stdout(console)
        return STOPPED_BY_CLOSED_PIPE


def _leave_stdout(console: Console) -> None:
    """Points standard output at nothing, or Python would complain about the closed pipe on its way out."""
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), console.stdout.fileno())


def _client(options: argparse.Namespace, environment: Mapping[str, str]) -> AIManager:
    token = options.token or environment.get(options.token_env) or None
    return AIManager.gateway(
        options.target,
        token=token,
        tls=options.tls,
        root_certificates=_certificates(options.ca),
        timeout=options.timeout,
    )


def _certificates(path: str | None) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path!r}: {error.strerror}", solution="Check the path.") from error


def _models(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    models = client.models.list(
        options.provider,
        capabilities=options.capability or (),
        available_only=options.available,
        refresh=options.refresh,
    )
    if options.refresh:
        _tell_who_failed(client, options.provider, console)
    if options.json:
        console.write(printed_json(*(model.proto for model in models), many=True))
        return 0
    console.write(f"{models_table(models)}\n")
    if console.stderr.isatty():
        console.note(LEGEND)
    return 0


def _tell_who_failed(client: AIManager, provider: str, console: Console) -> None:
    """A provider that did not list its models says why in its health."""
    for health in client.health.list([provider] if provider else ()):
        if health.status in ("DEGRADED", "DOWN"):
            console.note(f"{health.provider} may be incomplete: it is {health.status}. {health.solution}".rstrip())


def _health(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    if options.watch:
        return _watch(client, options, console)
    if options.assess:
        return _assess(client, options, console)
    providers = client.health.list(probe=options.probe)
    if options.json:
        console.write(printed_json(*(health.proto for health in providers), many=True))
    else:
        console.write(f"{health_table(providers)}\n")
    return 1 if any(health.status == "DOWN" for health in providers) else 0


def _assess(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    providers = client.health.assess()
    if options.json:
        console.write(printed_json(*(quality.proto for quality in providers), many=True))
    else:
        console.write(f"{quality_table(providers)}\n")
    return 0


def _watch(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    with closing(client.health.watch()) as changes:
        for health in changes:
            console.write(f"{_change(health, as_json=options.json)}\n")
    return 0


def _change(health: ProviderHealth, *, as_json: bool) -> str:
    return json.dumps(MessageToDict(health.proto)) if as_json else health_line(health)


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aimanager", description="Ask models through an aimanager gateway.")
    commands = parser.add_subparsers(required=True, metavar="ask | models | health | metrics")
    ask_arguments(_command(commands, "ask", "Ask a model.", ask, environment))

    models = _command(commands, "models", "List the models, what they can do and what they cost.", _models, environment)
    models.add_argument("--provider", default="", metavar="NAME", help="only this provider's")
    models.add_argument(
        "--capability", action="append", metavar="C", help="only those that have it, such as reasoning; may be repeated"
    )
    models.add_argument("--available", action="store_true", help="only those that can be called now")
    models.add_argument(
        "--refresh", action="store_true", help="have the gateway ask the providers for their lists first"
    )

    health = _command(
        commands, "health", "Show how the providers do; exit code 1 if one is down.", _health, environment
    )
    how = health.add_mutually_exclusive_group()
    how.add_argument("--probe", action="store_true", help="ask each provider now; never for an answer")
    how.add_argument("--watch", action="store_true", help="go on and print each change")
    how.add_argument("--assess", action="store_true", help="say instead how good they were in the last hour")

    what = "Show what was asked and what it took."
    metrics_arguments(_command(commands, "metrics", what, metrics, environment))
    return parser


def _command(
    commands: Commands, name: str, does: str, run: Run, environment: Mapping[str, str]
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=does, description=does)
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print JSON")
    server = command.add_argument_group("server")
    server.add_argument(
        "--target",
        metavar="T",
        default=environment.get("AIMANAGER_TARGET") or LOCAL,
        help=f"host:port; else $AIMANAGER_TARGET, else {LOCAL}",
    )
    token = server.add_mutually_exclusive_group()
    token.add_argument(
        "--token-env",
        default="AIMANAGER_TOKEN",
        metavar="NAME",
        help="variable that holds the gateway's token (AIMANAGER_TOKEN)",
    )
    token.add_argument("--token", metavar="TOKEN", help="the token itself, which other users of this machine can read")
    server.add_argument("--tls", action="store_true", help="encrypt; trust this machine's authorities")
    server.add_argument("--ca", metavar="PATH", help="encrypt; trust the authorities in this PEM file")
    server.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after this time")
    return command
