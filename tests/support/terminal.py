"""Run programs in a pseudo-terminal and read what they print."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec

import pytest

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78])")
needs_cli_extra = pytest.mark.skipif(find_spec("rich") is None, reason="needs the extra aimanager[cli]")

MAX_SECONDS = 60.0
"""A program that waits longer failed."""


@dataclass(frozen=True)
class Finished:
    """What a program printed to its terminal, and its exit code."""

    output: str
    code: int

    @property
    def text(self) -> str:
        """The output without escape sequences and carriage returns."""
        return plain(self.output)


class Terminal:
    """A program in a pseudo-terminal. `output` is everything that it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.output = ""
        self._master = master
        self._bytes = b""
        self._deadline = time.monotonic() + MAX_SECONDS

    def type(self, text: str) -> None:
        """Type the text; Enter is a carriage return."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str, after: int = 0) -> int:
        """Read until the text was printed after a position, both without escape sequences. Return its end."""
        while (position := plain(self.output).find(text, after)) < 0:
            assert self._read(), f"{text!r} is not in {plain(self.output)[after:]!r}"
        return position + len(text)

    def finish(self) -> Finished:
        """Read to the end."""
        while self._read():
            pass
        return Finished(self.output, self.process.wait(max(1.0, self._deadline - time.monotonic())))

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def _read(self) -> bool:
        readable, _, _ = select.select([self._master], [], [], max(0.0, self._deadline - time.monotonic()))
        assert readable, f"the program is silent after {plain(self.output)!r}"
        data = b""
        with suppress(OSError):  # EIO: the program has closed the terminal
            data = os.read(self._master, 1 << 16)
        self._bytes += data
        self.output = self._bytes.decode(errors="replace")
        return bool(data)


@contextmanager
def terminal(*command: str, columns: int = 80, environment: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Run a program in a pseudo-terminal, and kill it when the block ends."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = {**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **(environment or {})}
    variables.pop("NO_COLOR", None)
    variables.pop("COLUMNS", None)
    try:
        with subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=variables, start_new_session=True
        ) as process:
            os.close(slave)
            try:
                yield Terminal(process, master)
            finally:
                process.kill()
    finally:
        os.close(master)


def run_in_terminal(*command: str, columns: int = 80, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a program in a pseudo-terminal to its end."""
    with terminal(*command, columns=columns, environment=environment) as running:
        return running.finish()


def plain(output: str) -> str:
    """Return the output without escape sequences and carriage returns.

    >>> plain("\\x1b[1mbold\\x1b[0m\\r\\n")
    'bold\\n'
    """
    return ESCAPES.sub("", output).replace("\r", "").replace("\b", "")
