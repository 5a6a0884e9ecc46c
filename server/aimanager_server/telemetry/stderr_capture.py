"""Captures what native code writes to stderr, such as the log lines of gRPC's core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TextIO

from .stderr_collector import Configuration

STDERR = 2
STOP_SECONDS = 3.0
"""How long `__exit__` waits for the last lines to be written."""

PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from aimanager_server.telemetry.stderr_collector import main; main()"
)


class StderrCapture:
    """Replace file descriptor 2 by a pipe to a process that writes its text as JSON lines, as a context manager.

    The process outlives a crash of the server, so that the reason is still written. It always reads, so that native
    code never waits for a slow stderr, and drops lines as `LogWriter` does. `stream` writes to the original stderr. If
    no process can be started, and on Windows, nothing is replaced.
    """

    def __init__(self, level: str, secrets: tuple[str, ...], max_length: int, python: str = sys.executable) -> None:
        self._configuration = Configuration(level, secrets, max_length)
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._reports: IO[bytes] | None = None
        self._dropped_count = 0
        self._counts = b""
        self.stream: TextIO | None = sys.stderr

    @property
    def dropped_count(self) -> int:
        """Lines that the process dropped."""
        if self._reports is not None:
            self._counts += self._reports.read() or b""
            *counts, self._counts = self._counts.split(b"\n")
            self._dropped_count = int(counts[-1]) if counts else self._dropped_count
        return self._dropped_count

    def __enter__(self) -> Self:
        if sys.platform != "win32":
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None or self.stream is None:
            return
        os.dup2(self.stream.fileno(), STDERR)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reports is not None:
            self._reports.close()
            self._reports = None

    def _start(self) -> None:
        reading, writing = os.pipe()
        running, reporting = os.pipe()
        command = [self._python, "-I", "-S", "-c", PROGRAM, str(Path(__file__).parents[2])]
        try:
            self._process = subprocess.Popen(command, stdin=reading, stdout=reporting, start_new_session=True)
        except OSError:  # no further process may be started: native text stays as it is
            os.close(running)
        else:
            os.set_blocking(running, False)
            self._reports = os.fdopen(running, "rb", buffering=0)
            self.stream = os.fdopen(os.dup(STDERR), "w", closefd=False)
            os.write(writing, self._configuration.to_line())
            os.dup2(writing, STDERR)
        finally:
            for descriptor in (reading, writing, reporting):
                os.close(descriptor)
