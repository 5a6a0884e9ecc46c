"""The `aimanager` command: parse arguments, run a subcommand, report errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from ..errors import AIError
from .arguments import add_command, connect
from .ask import add_ask_arguments, ask
from .console import Console
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
    options = _parser(environment).parse_args(argv)
    try:
        with connect(options, environment) as client:
            exit_code: int = options.command(client, options, console)
            return exit_code
    except AIError as error:
        message = str(error)
        end = "" if message.endswith((".", "?", "!")) else "."
        console.write_line_to_stderr(f"aimanager: {message}{end} {error.solution}".rstrip())
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


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aimanager", description="Call models through an aimanager gateway.")
    commands = parser.add_subparsers(required=True, metavar="ask | models | health | metrics")
    description = "Send a prompt to a model and print the response."
    add_ask_arguments(add_command(commands, "ask", description, ask, environment))
    description = "List models with their capabilities, limits and prices."
    add_models_arguments(add_command(commands, "models", description, models, environment))
    description = "Show the health of the providers; exit with status 1 if any is DOWN."
    add_health_arguments(add_command(commands, "health", description, health, environment))
    description = "Show requests, tokens, cost and latency by model."
    add_metrics_arguments(add_command(commands, "metrics", description, metrics, environment))
    return parser
