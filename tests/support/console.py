"""Run the `aimanager` command in this process, with in-memory streams."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from aimanager.cli import main
from aimanager.cli.console import Console
from tests.support.fake_gateway.server import FakeGateway


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class CommandRunner:
    """Runs the command against a fake gateway and collects its output."""

    fake: FakeGateway
    stdin: io.StringIO = field(default_factory=io.StringIO)
    stdout: io.StringIO = field(default_factory=io.StringIO)
    stderr: io.StringIO = field(default_factory=io.StringIO)

    def __call__(self, *arguments: str, **environment: str) -> int:
        """Run the command and return its exit code."""
        variables = {"AIMANAGER_TARGET": self.fake.target} | environment
        return main(arguments, Console(self.stdin, self.stdout, self.stderr), variables)

    @property
    def out(self) -> str:
        """Text on standard output."""
        return self.stdout.getvalue()

    @property
    def err(self) -> str:
        """Text on standard error."""
        return self.stderr.getvalue()
