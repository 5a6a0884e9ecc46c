"""Run the `aimanager` command in this process, with in-memory streams."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from aimanager.cli import main
from aimanager.cli.console import Console
from aimanager.v1 import generation_pb2
from tests.support.fake_gateway.messages import stream_events
from tests.support.fake_gateway.server import ErrorStatus, FakeGateway


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

    def respond(self, answer: generation_pb2.GenerateResponse | ErrorStatus) -> None:
        """Let the gateway answer both kinds of request with a response or an error."""
        self.fake.respond("Generate", answer)
        if isinstance(answer, ErrorStatus):
            self.fake.respond("StreamGenerate", [answer])
        else:
            self.fake.respond("StreamGenerate", stream_events(answer, answer.message.parts[0].text))

    @property
    def sent(self) -> generation_pb2.GenerateRequest:
        """The last request for a response."""
        request = self.fake.received[-1].request
        found: generation_pb2.GenerateRequest = getattr(request, "request", request)
        return found

    @property
    def out(self) -> str:
        """Text on standard output."""
        return self.stdout.getvalue()

    @property
    def err(self) -> str:
        """Text on standard error."""
        return self.stderr.getvalue()
