"""Input and output streams of the `aimanager` command, and JSON output."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TextIO

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Console:
    """The standard streams of a command."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    def write(self, text: str) -> None:
        """Write to standard output and flush."""
        self.stdout.write(text)
        self.stdout.flush()

    def write_line_to_stderr(self, text: str) -> None:
        """Write one line to standard error."""
        print(text, file=self.stderr)


def messages_to_json(*messages: Message, as_list: bool = False) -> str:
    """Return messages as indented JSON: the only one, or all as a list."""
    rows = [MessageToDict(message) for message in messages]
    return json.dumps(rows if as_list else rows[0], indent=2, ensure_ascii=False) + "\n"
