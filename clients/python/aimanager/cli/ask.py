"""The `aimanager ask` command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..client import AIManager
from ..errors import ConfigurationError, InvalidRequestError
from ..options import OnInterruption, RequestOptions
from ..types.response import AIResponse
from .console import Console, messages_to_json
from .prompt_text import read_prompt
from .sampling_arguments import add_sampling_arguments, sampling_options
from .stream_output import INTERRUPTED, print_stream
from .summary import summary_line


def add_ask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ask`."""
    parser.add_argument(
        "prompt", nargs="*", help="words of the prompt, after the text on standard input; - reads only that"
    )
    add_sampling_arguments(parser)
    parser.add_argument(
        "-a", "--attach", action="append", metavar="PATH", help="attach a file (image, PDF or text); repeatable"
    )
    parser.add_argument(
        "--no-stream", dest="stream", action="store_false", help="print the response only when it is complete"
    )
    parser.add_argument("--schema", metavar="PATH", help="request JSON that matches the JSON Schema in this file")
    parser.add_argument("--save-artifacts", metavar="FOLDER", help="save code, documents and data to this folder")


def ask(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Send the prompt, print the response and save its artifacts."""
    prompt = read_prompt(options.prompt, console)
    request: RequestOptions = {
        **sampling_options(options),
        "attachments": options.attach,
        "output": _read_schema(options.schema),
        "extract_artifacts": options.json or options.save_artifacts is not None,
    }
    if options.stream and not options.json:
        response = _stream(client, prompt, request, options, console)
    else:
        response = _request(client, prompt, request, options, console)
    _save_artifacts(response, options.save_artifacts, console)
    _print_summary(response, options, console)
    return 0


def _stream(
    client: AIManager, prompt: str, request: RequestOptions, options: argparse.Namespace, console: Console
) -> AIResponse:
    # A reader of a pipe cannot tell what a restart revokes, so there an interruption is an error.
    policy: OnInterruption = "restart" if console.stdout.isatty() else "fail"
    with client.stream(prompt, on_interruption=policy, **request) as stream:
        return print_stream(stream, console, show_reasoning=options.show_reasoning)


def _request(
    client: AIManager, prompt: str, request: RequestOptions, options: argparse.Namespace, console: Console
) -> AIResponse:
    try:
        response = client.request(prompt, **request)
    except KeyboardInterrupt:
        console.write_line_to_stderr(INTERRUPTED)
        raise
    if options.show_reasoning and response.reasoning and not options.json:
        console.write_line_to_stderr(response.reasoning)
    content = response.content.removesuffix("\n") + "\n"
    console.write(messages_to_json(response.proto) if options.json else content)
    return response


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


def _print_summary(response: AIResponse, options: argparse.Namespace, console: Console) -> None:
    for warning in response.warnings:
        console.write_line_to_stderr(f"warning: {warning.field}: {warning.message}")
    if options.verbose or console.stderr.isatty():
        console.write_line_to_stderr(summary_line(response))
