"""Captures what native code writes to stderr, such as the log lines of gRPC's core."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
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
        self._configurations: IO[bytes] | None = None
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._reports: IO[bytes] | None = None
        self._dropped_count = 0
        self._counts = b""
        self.stream: TextIO | None = sys.stderr

    def reconfigure(self, level: str, secrets: tuple[str, ...]) -> None:
        """Use this level and these secrets for the text that follows. Safe to call from any thread."""
        configuration = Configuration(level, secrets, self._configuration.max_length)
        if configuration != self._configuration:
            self._configuration = configuration
            self._send()

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
        if self._configurations is not None:
            self._configurations.close()
            self._configurations = None
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reports is not None:
            self._reports.close()
            self._reports = None

    def _send(self) -> None:
        if self._configurations is not None:
            with suppress(OSError):  # the process was killed
                self._configurations.write(self._configuration.to_line())

    def _start(self) -> None:
        reading, writing = os.pipe()
        running, reporting = os.pipe()
        received, sending = os.pipe()
        command = [self._python, "-I", "-S", "-c", PROGRAM, str(Path(__file__).parents[2]), str(received)]
        try:
            self._process = subprocess.Popen(
                command, stdin=reading, stdout=reporting, start_new_session=True, pass_fds=[received]
            )
        except OSError:  # no further process may be started: native text stays as it is
            os.close(running)
            os.close(sending)
        else:
            os.set_blocking(running, False)
            self._reports = os.fdopen(running, "rb", buffering=0)
            self._configurations = os.fdopen(sending, "wb", buffering=0)
            self._send()
            self.stream = os.fdopen(os.dup(STDERR), "w", closefd=False)
            os.dup2(writing, STDERR)
        finally:
            for descriptor in (reading, writing, reporting, received):
                os.close(descriptor)
