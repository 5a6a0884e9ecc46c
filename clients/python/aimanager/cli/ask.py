"""The `aimanager ask` command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from .._convert.stream_state import Reading
from ..client import AIManager
from ..errors import ConfigurationError, InvalidRequestError
from ..options import Effort, RequestOptions
from ..types.response import AIResponse
from ..types.stream_events import Restarted
from .console import Console, printed_json
from .summary import account, began_again


def ask_arguments(ask: argparse.ArgumentParser) -> None:
    """What `ask` takes."""
    ask.add_argument("prompt", help="what to ask; - reads it from standard input")
    ask.add_argument("--model", metavar="M", help="[provider/]id, or latest, current, fast, reasoning")
    ask.add_argument(
        "--fallback", action="append", metavar="M", help="a model to ask where the one before it fails; may be repeated"
    )
    ask.add_argument("--system", metavar="S", help="what the model is told first")
    ask.add_argument("--attach", action="append", metavar="PATH", help="an image, a PDF or a text; may be repeated")
    ask.add_argument("--reasoning", choices=get_args(Effort), metavar="EFFORT", help=", ".join(get_args(Effort)))
    ask.add_argument("--no-stream", dest="stream", action="store_false", help="print nothing before the whole answer")
    ask.add_argument("--verbose", action="store_true", help="say who answered and what it took, as on a terminal")
    ask.add_argument("--schema", metavar="PATH", help="answer in JSON of the JSON Schema in this file")
    ask.add_argument("--save-artifacts", metavar="DIR", help="keep code, documents and data as files in this folder")


def ask(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Asks, prints the answer, and keeps its artifacts where it is told to."""
    prompt = _readable(console.stdin.read() if options.prompt == "-" else options.prompt)
    question: RequestOptions = {
        "model": options.model,
        "fallback_models": options.fallback,
        "system": options.system,
        "attachments": options.attach,
        "reasoning": options.reasoning,
        "output": _schema(options.schema),
    }
    if console.stdout.isatty() and options.stream and not options.json:
        response = _streamed(client, prompt, question, console)
    else:
        response = client.request(prompt, **question)
        console.write(printed_json(response.proto) if options.json else response.content.removesuffix("\n") + "\n")
    _keep(response, options.save_artifacts, console)
    _report(response, options, console)
    return 0


def _schema(path: str | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    try:
        schema = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path!r}: {error.strerror}", solution="Check the path.") from error
    except (RecursionError, ValueError) as error:
        raise InvalidRequestError(f"{path!r} is no JSON: {error}", solution="Give a JSON Schema.") from error
    if isinstance(schema, dict):
        return schema
    raise InvalidRequestError(f"{path!r} is no JSON object", solution="Give a JSON Schema.")


def _keep(response: AIResponse, folder: str | None, console: Console) -> None:
    if folder is None:
        return
    for artifact in response.artifacts:
        try:
            console.note(f"saved {artifact.save(folder)}")
        except OSError as error:
            problem = f"cannot save {artifact.name!r} in {folder!r}: {error.strerror or error}"
            raise ConfigurationError(problem, solution="Check the folder.") from error


def _streamed(client: AIManager, prompt: str, question: RequestOptions, console: Console) -> AIResponse:
    page, reading = Page(console), Reading()
    with client.stream(prompt, **question) as stream:
        try:
            for event in stream.events:
                if isinstance(event, Restarted):
                    page.begin_again(event)
                    reading = Reading()
                elif piece := reading.piece(event):
                    page.add(piece.content)
        finally:
            page.end_line()
        return stream.response


class Page:
    """An answer that grows on a terminal, where nothing can be unsaid."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._in_line = False

    def add(self, text: str) -> None:
        """More of the answer."""
        if text:
            self._console.write(text)
            self._in_line = not text.endswith("\n")

    def end_line(self) -> None:
        """What comes next stands on a line of its own."""
        if self._in_line:
            self.add("\n")

    def begin_again(self, restarted: Restarted) -> None:
        """Says that the answer so far is void, also where it stands if errors go elsewhere."""
        self.end_line()
        self._console.note(began_again(restarted))
        if not self._console.stderr.isatty():
            self.add(f"--- {began_again(restarted)} ---\n")


def _report(response: AIResponse, options: argparse.Namespace, console: Console) -> None:
    for warning in response.warnings:
        console.note(f"warning: {warning.field}: {warning.message}")
    if options.verbose or console.stderr.isatty():
        console.note(account(response))


def _readable(prompt: str) -> str:
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            "The prompt is not UTF-8.", solution="Send a file of another kind with --attach instead."
        ) from error
    return prompt
