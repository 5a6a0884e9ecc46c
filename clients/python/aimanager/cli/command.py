"""The `aimanager` command: parse arguments, run a subcommand, report errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from ..errors import AIError
from .arguments import add_command, connect
from .ask import add_ask_arguments, ask
from .chat import add_chat_arguments, chat
from .console import Console, error_to_json, shell_solution
from .conversations import add_conversations_arguments, conversations
from .health import add_health_arguments, health
from .metrics import add_metrics_arguments, metrics
from .models import add_models_arguments, models

EXIT_INTERRUPTED = 130  # Ctrl-C
EXIT_BROKEN_PIPE = 141  # as shells report SIGPIPE


def main(
    argv: Sequence[str] | None = None, console: Console | None = None, environment: Mapping[str, str] | None = None
) -> int:
    """Run the command and return its exit code: 0, 1 for an error, 130 for Ctrl-C, 141 for a closed pipe.

    Raises SystemExit with code 2 for invalid arguments, as argparse does.
    """
    console = console or Console(sys.stdin, sys.stdout, sys.stderr)
    environment = os.environ if environment is None else environment
    options = _parse(argv)
    try:
        with connect(options, environment) as client:
            exit_code: int = options.command(client, options, console)
            return exit_code
    except AIError as error:
        if options.json:
            console.write(error_to_json(error))
        message = str(error)
        end = "" if message.endswith((".", "?", "!")) else "."
        console.write_line_to_stderr(f"aimanager: {message}{end} {shell_solution(error)}".rstrip())
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _discard_stdout(console)
        return EXIT_BROKEN_PIPE


def _discard_stdout(console: Console) -> None:
    """Redirect standard output to the null device: Python would report the closed pipe when it flushes at exit."""
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), console.stdout.fileno())


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments. Words of a prompt may stand between options, which argparse alone does not accept."""
    options, rest = _parser().parse_known_args(argv)
    if rest and ("prompt" not in options or any(word.startswith("-") for word in rest)):
        options.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.prompt += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aimanager", description="Call models through an aimanager gateway.")
    parser.add_argument("--version", action="version", version=f"aimanager {version('aimanager')}")
    commands = parser.add_subparsers(required=True, metavar="ask | chat | conversations | models | health | metrics")
    description = "Send a prompt to a model and print the response."
    add_ask_arguments(add_command(commands, "ask", description, ask))
    description = "Talk to a model; /help lists what to type."
    add_chat_arguments(add_command(commands, "chat", description, chat))
    description = "List the conversations that the server keeps; show, export, import or delete one."
    add_conversations_arguments(add_command(commands, "conversations", description, conversations))
    description = "List models with their capabilities, limits and prices."
    add_models_arguments(add_command(commands, "models", description, models))
    description = "Show the health of the providers; exit with status 1 if any is DOWN."
    add_health_arguments(add_command(commands, "health", description, health))
    description = "Show requests, tokens, cost and latency by model."
    add_metrics_arguments(add_command(commands, "metrics", description, metrics))
    return parser
