"""Run aimock, a third-party mock server of the providers, as a process."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "aimock"
PROGRAM = FOLDER / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
START_SECONDS = 15.0
LOCAL = build_opener(ProxyHandler({}))


def reason_to_skip() -> str:
    """Return why aimock cannot run on this machine, in one line; empty if it can."""
    if shutil.which("node") is None:
        return "aimock needs Node 20 or later, which is not installed"
    return "" if PROGRAM.exists() else "aimock is not installed: run 'npm ci' in tests/aimock"


@dataclass(frozen=True, slots=True)
class AimockServer:
    """A running aimock. APIs with a /v1 prefix are at `url` + "/v1"."""

    url: str

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests it received, oldest first: method, path, headers, body."""
        with LOCAL.open(f"{self.url}/v1/_requests", timeout=5) as response:
            journal: list[dict[str, Any]] = json.load(response)
        return journal


@contextmanager
def aimock() -> Iterator[AimockServer]:
    """Start aimock on a free port with the shared fixtures, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("-p", str(port), "-f", str(FOLDER / "fixtures.json"), "--log-level", "warn")
    command = (shutil.which("node") or "node", str(PROGRAM), *options)
    process = subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server = AimockServer(f"http://127.0.0.1:{port}")
        _await_start(process, server)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=10)


def _await_start(process: subprocess.Popen[bytes], server: AimockServer) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            server.requests()
            return
        except (URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"aimock did not start (exit code {process.poll()})") from None
            time.sleep(0.02)
