"""A server in a separate process, whose stderr is a pipe that a test reads, leaves full or closes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

SERVER = ("-m", "aimanager_server", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
NO_DRAIN = ("--set", "server.drain_delay_seconds=0")
MOCK = ("--set", "providers.mock.enabled=true")
STOP_SECONDS = 20.0


@dataclass
class ServerProcess:
    """A running server with the ports that it bound. `log` is the reading end of its stderr."""

    process: subprocess.Popen[bytes]
    log: int
    port: int
    metrics_port: int

    @property
    def target(self) -> str:
        """The address of the API."""
        return f"127.0.0.1:{self.port}"

    def close_log(self) -> None:
        """Close the reading end of its stderr."""
        os.close(self.log)
        self.log = -1

    def lines(self) -> Iterator[dict[str, Any]]:
        """Read the log until the server and all of its processes have exited."""
        rest = b""
        while data := os.read(self.log, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            yield from map(json.loads, lines)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status. Fails if the server does not exit within STOP_SECONDS."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def metrics(self) -> str:
        """Return what Prometheus scrapes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as response:
            text: str = response.read().decode()
            return text


@contextmanager
def server_process(
    *arguments: str, environment: Mapping[str, str] | None = None, command: tuple[str, ...] = (sys.executable,)
) -> Iterator[ServerProcess]:
    """Run `aimanager-server` with the mock provider on free ports, and kill it when the block ends.

    `command` runs its interpreter.
    """
    reading, writing = os.pipe()
    variables = {**os.environ, **(environment or {})}
    with subprocess.Popen([*command, *SERVER, *NO_DRAIN, *MOCK, *arguments], stderr=writing, env=variables) as process:
        os.close(writing)
        server = ServerProcess(process, reading, 0, 0)
        try:
            events = _startup_events(reading)
            server.port, server.metrics_port = events["server.started"], events["metrics_server.started"]
            yield server
        finally:
            process.kill()
            if server.log >= 0:
                os.close(server.log)


def _startup_events(log: int) -> dict[str, int]:
    """Return the port of each startup event."""
    text = b""
    while not (b'"event":"server.started"' in text and text.endswith(b"\n")):
        data = os.read(log, 1 << 16)
        assert data, text.decode()
        text += data
    return {line["event"]: line["port"] for line in map(json.loads, text.splitlines()) if "port" in line}
