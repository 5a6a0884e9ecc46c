"""The `aimanager ask` command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from .._convert.stream_state import StreamState
from ..client import AIManager
from ..errors import ConfigurationError, InvalidRequestError
from ..options import ReasoningEffort, RequestOptions
from ..types.response import AIResponse
from ..types.stream_events import Restarted
from .console import Console, messages_to_json
from .summary import restart_notice, summary_line

EFFORTS = get_args(ReasoningEffort)


def add_ask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ask`."""
    parser.add_argument("prompt", help="text of the prompt; - reads standard input")
    parser.add_argument("--model", metavar="NAME", help="[provider/]id or [provider/]alias, such as claude/fast")
    parser.add_argument(
        "--fallback", action="append", metavar="NAME", help="model to try if the previous one fails; repeatable"
    )
    parser.add_argument("--system", metavar="TEXT", help="system instruction")
    parser.add_argument(
        "--attach", action="append", metavar="PATH", help="attach a file (image, PDF or text); repeatable"
    )
    parser.add_argument("--reasoning", choices=EFFORTS, metavar="EFFORT", help=f"one of {', '.join(EFFORTS)}")
    parser.add_argument(
        "--no-stream", dest="stream", action="store_false", help="print the response only when it is complete"
    )
    parser.add_argument("--verbose", action="store_true", help="print model, tokens, cost and latency to stderr")
    parser.add_argument("--schema", metavar="PATH", help="request JSON that matches the JSON Schema in this file")
    parser.add_argument("--save-artifacts", metavar="FOLDER", help="save code, documents and data to this folder")


def ask(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Send the prompt, print the response and save its artifacts."""
    prompt = console.stdin.read() if options.prompt == "-" else options.prompt
    request: RequestOptions = {
        "model": options.model,
        "fallback_models": options.fallback,
        "system": options.system,
        "attachments": options.attach,
        "reasoning": options.reasoning,
        "output": _read_schema(options.schema),
        "extract_artifacts": options.json or options.save_artifacts is not None,
    }
    if console.stdout.isatty() and options.stream and not options.json:
        response = _stream_to_terminal(client, prompt, request, console)
    else:
        response = client.request(prompt, **request)
        text = messages_to_json(response.proto) if options.json else response.content.removesuffix("\n") + "\n"
        console.write(text)
    _save_artifacts(response, options.save_artifacts, console)
    _print_summary(response, options, console)
    return 0


def _read_schema(path: str | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    try:
        schema = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path!r}: {error.strerror}.", solution="Check the path.") from error
    except (RecursionError, ValueError) as error:
        raise InvalidRequestError(
            f"--schema must be a JSON file, but {path!r} is not valid JSON: {error}.", solution="Pass a JSON Schema."
        ) from error
    if isinstance(schema, dict):
        return schema
    raise InvalidRequestError(
        f"--schema must contain a JSON object, got {type(schema).__name__} in {path!r}.", solution="Pass a JSON Schema."
    )


def _save_artifacts(response: AIResponse, folder: str | None, console: Console) -> None:
    if folder is None:
        return
    for artifact in response.artifacts:
        try:
            console.write_line_to_stderr(f"saved {artifact.save(folder)}")
        except OSError as error:
            raise ConfigurationError(
                f"Cannot save {artifact.name!r} to {folder!r}: {error.strerror or error}.",
                solution="Check the folder and its permissions.",
            ) from error


def _stream_to_terminal(client: AIManager, prompt: str, request: RequestOptions, console: Console) -> AIResponse:
    output, state = TerminalOutput(console), StreamState()
    with client.stream(prompt, **request) as stream:
        try:
            for event in stream.events:
                if isinstance(event, Restarted):
                    output.restart(event)
                    state = StreamState()
                elif piece := state.piece(event):
                    output.write(piece.content)
        finally:
            output.end_line()
        return stream.response


class TerminalOutput:
    """Prints a streamed response to a terminal, on which printed text cannot be revoked."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._in_line = False

    def write(self, text: str) -> None:
        """Print more of the response."""
        if text:
            self._console.write(text)
            self._in_line = not text.endswith("\n")

    def end_line(self) -> None:
        """End the current line, if any."""
        if self._in_line:
            self.write("\n")

    def restart(self, restarted: Restarted) -> None:
        """Print a notice that the text so far is void; also on standard output if stderr is not the terminal."""
        self.end_line()
        notice = restart_notice(restarted)
        self._console.write_line_to_stderr(notice)
        if not self._console.stderr.isatty():
            self.write(f"--- {notice} ---\n")


def _print_summary(response: AIResponse, options: argparse.Namespace, console: Console) -> None:
    for warning in response.warnings:
        console.write_line_to_stderr(f"warning: {warning.field}: {warning.message}")
    if options.verbose or console.stderr.isatty():
        console.write_line_to_stderr(summary_line(response))
