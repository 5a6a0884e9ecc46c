"""Input and output streams of the `aimanager` command, and JSON output."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from ..errors import AIError
from .control_characters import printable

COMMANDS = {"models.list()": "aimanager models", "health.list()": "aimanager health"}
"""The command for a method of the client."""


@dataclass(frozen=True, slots=True)
class Console:
    """The standard streams of a command. What a terminal receives has no control characters."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    def write(self, text: str) -> None:
        """Write to standard output and flush."""
        self.stdout.write(printable(text) if self.stdout.isatty() else text)
        self.stdout.flush()

    def write_to_stderr(self, text: str) -> None:
        """Write to standard error and flush."""
        self.stderr.write(printable(text) if self.stderr.isatty() else text)
        self.stderr.flush()

    def write_line_to_stderr(self, text: str) -> None:
        """Write one line to standard error."""
        self.write_to_stderr(f"{text}\n")


def message_to_dict(message: Message) -> dict[str, Any]:
    """Return a message as JSON values, those that are zero, false or empty included."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def messages_to_json(*messages: Message, as_list: bool = False) -> str:
    """Return messages as indented JSON: the only one, or all as a list."""
    rows = [message_to_dict(message) for message in messages]
    return to_json(rows if as_list else rows[0])


def error_to_json(error: AIError) -> str:
    """Return an error as indented JSON, in an object under `error`."""
    fields = {
        "message": str(error),
        "solution": error.solution,
        "reason": error.reason,
        "retryAfter": error.retry_after,
        "provider": error.provider,
        "model": error.model,
        "requestId": error.request_id,
        "fields": [asdict(field) for field in error.fields],
        "usage": None if error.usage is None else _camel_case(asdict(error.usage)),
        "attempts": [_camel_case(asdict(attempt)) for attempt in error.attempts],
    }
    return to_json({"error": fields})


def shell_solution(error: AIError) -> str:
    """Return the solution of an error with commands in place of methods.

    >>> shell_solution(AIError("No model.", "Use a model that models.list() returns."))
    'Use a model that `aimanager models` lists.'
    """
    solution = error.solution
    for method, command in COMMANDS.items():
        solution = solution.replace(f"{method} returns", f"`{command}` lists").replace(method, f"`{command}`")
    return solution


def to_json(value: object) -> str:
    """Return indented JSON, with a line feed at the end. Decimals become strings, which keeps them exact."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


def _camel_case(fields: dict[str, Any]) -> dict[str, Any]:
    """Name the fields as JSON of protobuf does."""
    named = {}
    for name, value in fields.items():
        first, *others = name.split("_")
        named[first + "".join(map(str.capitalize, others))] = _camel_case(value) if isinstance(value, dict) else value
    return named
