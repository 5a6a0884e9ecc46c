"""Where the `aimanager` command writes, and how it prints what travels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TextIO

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


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


def printed_json(*messages: Message, many: bool = False) -> str:
    """Messages as JSON to be read: one, or a list of them."""
    rows = [MessageToDict(message) for message in messages]
    return json.dumps(rows if many else rows[0], indent=2, ensure_ascii=False) + "\n"
