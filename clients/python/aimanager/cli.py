"""The `aimanager` command: asks a model, lists the models, shows how the providers do."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeAlias, get_args

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from ._setup import LOCAL
from ._tables import LEGEND, account, health_line, health_table, models_table
from .client import AIManager
from .errors import AIError, ConfigurationError, InvalidRequestError
from .health import ProviderHealth
from .options import Effort, RequestOptions
from .response import AIResponse

Run = Callable[[AIManager, argparse.Namespace, "Console"], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STOPPED_BY_CTRL_C = 130
STOPPED_BY_CLOSED_PIPE = 141  # what a shell reports for SIGPIPE


@dataclass(frozen=True, slots=True)
class Console:
    """Where the command reads and writes."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    def write(self, text: str) -> None:
        """To standard output, at once."""
        self.stdout.write(text)
        self.stdout.flush()

    def note(self, text: str) -> None:
        """One line to standard error."""
        print(text, file=self.stderr)


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


def _ask(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    prompt = _readable(console.stdin.read() if options.prompt == "-" else options.prompt)
    question: RequestOptions = {
        "model": options.model,
        "system": options.system,
        "attachments": options.attach,
        "reasoning": options.reasoning,
    }
    if console.stdout.isatty() and options.stream and not options.json:
        response = _streamed(client, prompt, question, console)
    else:
        response = client.request(prompt, **question)
        console.write(_json(response.proto) if options.json else response.content.removesuffix("\n") + "\n")
    _report(response, options, console)
    return 0


def _readable(prompt: str) -> str:
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            "The prompt is not UTF-8.", solution="Send a file of another kind with --attach instead."
        ) from error
    return prompt


def _streamed(client: AIManager, prompt: str, question: RequestOptions, console: Console) -> AIResponse:
    end = ""
    with client.stream(prompt, **question) as stream:
        try:
            for text in stream.text:
                console.write(text)
                end = "" if text.endswith("\n") else "\n"
        finally:
            console.write(end)
        return stream.response


def _report(response: AIResponse, options: argparse.Namespace, console: Console) -> None:
    for warning in response.warnings:
        console.note(f"warning: {warning.field}: {warning.message}")
    if options.verbose or console.stderr.isatty():
        console.note(account(response))


def _models(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    models = client.models.list(options.provider)
    if options.json:
        console.write(_json(*(model.proto for model in models), many=True))
        return 0
    console.write(f"{models_table(models)}\n")
    if console.stderr.isatty():
        console.note(LEGEND)
    return 0


def _health(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    if options.watch:
        return _watch(client, options, console)
    providers = client.health.list(probe=options.probe)
    if options.json:
        console.write(_json(*(health.proto for health in providers), many=True))
    else:
        console.write(f"{health_table(providers)}\n")
    return 1 if any(health.status == "DOWN" for health in providers) else 0


def _watch(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    with closing(client.health.watch()) as changes:
        for health in changes:
            console.write(f"{_change(health, as_json=options.json)}\n")
    return 0


def _change(health: ProviderHealth, *, as_json: bool) -> str:
    return json.dumps(MessageToDict(health.proto)) if as_json else health_line(health)


def _json(*messages: Message, many: bool = False) -> str:
    rows = [MessageToDict(message) for message in messages]
    return json.dumps(rows if many else rows[0], indent=2, ensure_ascii=False) + "\n"


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aimanager", description="Ask models through an aimanager gateway.")
    commands = parser.add_subparsers(required=True, metavar="ask | models | health")
    _ask_arguments(_command(commands, "ask", "Ask a model.", _ask, environment))

    models = _command(commands, "models", "List the models, what they can do and what they cost.", _models, environment)
    models.add_argument("--provider", default="", metavar="NAME", help="only this provider's")

    health = _command(
        commands, "health", "Show how the providers do; exit code 1 if one is down.", _health, environment
    )
    how = health.add_mutually_exclusive_group()
    how.add_argument("--probe", action="store_true", help="ask each provider now; never for an answer")
    how.add_argument("--watch", action="store_true", help="go on and print each change")
    return parser


def _ask_arguments(ask: argparse.ArgumentParser) -> None:
    ask.add_argument("prompt", help="what to ask; - reads it from standard input")
    ask.add_argument("--model", metavar="M", help="[provider/]id, or latest, current, fast, reasoning")
    ask.add_argument("--system", metavar="S", help="what the model is told first")
    ask.add_argument("--attach", action="append", metavar="PATH", help="an image, a PDF or a text; may be repeated")
    ask.add_argument("--reasoning", choices=get_args(Effort), metavar="EFFORT", help=", ".join(get_args(Effort)))
    ask.add_argument("--no-stream", dest="stream", action="store_false", help="print nothing before the whole answer")
    ask.add_argument("--verbose", action="store_true", help="say who answered and what it took, as on a terminal")


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
