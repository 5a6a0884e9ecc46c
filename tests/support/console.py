"""The `aimanager` command run in this process, with files for a terminal."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from aimanager.cli import main
from aimanager.cli.console import Console
from tests.support.fake_gateway.server import FakeGateway


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Command:
    """Runs the command in this process against a fake gateway."""

    fake: FakeGateway
    stdin: io.StringIO = field(default_factory=io.StringIO)
    stdout: io.StringIO = field(default_factory=io.StringIO)
    stderr: io.StringIO = field(default_factory=io.StringIO)

    def __call__(self, *arguments: str, **environment: str) -> int:
        """The exit code."""
        known = {"AIMANAGER_TARGET": self.fake.target} | environment
        return main(arguments, Console(self.stdin, self.stdout, self.stderr), known)

    @property
    def out(self) -> str:
        """What was printed."""
        return self.stdout.getvalue()

    @property
    def err(self) -> str:
        """What was said beside it."""
        return self.stderr.getvalue()
