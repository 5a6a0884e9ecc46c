"""A server process reloads its configuration on SIGHUP and after a change of a file."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.paths import ROOT
from tests.support.reload import SERVER, WAIT_SECONDS, generate_request

START_SECONDS = 30.0

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no SIGHUP")


class ServerProcess:
    """A server process and its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.seen: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("{"):
                self.lines.put(json.loads(line))

    def event(self, name: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return the next log entry of an event. Raises queue.Empty after so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            entry = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            self.seen.append(entry)
            if entry["event"] == name:
                return entry

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self.process.send_signal(signal.SIGHUP)


@contextmanager
def server_process(config: Path) -> Iterator[ServerProcess]:
    path = os.pathsep.join(map(str, (ROOT / "server", ROOT / "clients" / "python")))
    command = (sys.executable, "-m", "aimanager_server", "serve", "--config", str(config))
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.kill()


def test_sighup_during_a_stream_loses_nothing(tmp_path: Path) -> None:
    config = tmp_path / "aimanager.toml"
    config.write_text(SERVER)
    with server_process(config) as server:
        port = server.event("server.started", START_SECONDS)["port"]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = GenerationServiceStub(channel)
            prompt = "[[words: 60]] [[rate: 100]]"
            request = generation_pb2.StreamGenerateRequest(request=generate_request(prompt, "mock/mock-large"))
            stream = stub.StreamGenerate(request, timeout=30)
            events = [next(stream) for _ in range(5)]
            for limit in range(3):
                config.write_text(SERVER + f"max_in_flight = {limit + 1}\n")
                server.hang_up()
                assert server.event("config.reloaded")["changes"]
            events.extend(stream)
        server.process.terminate()
        exit_code = server.process.wait(20)

    assert events[-1].completed.usage.output_tokens == 60
    assert exit_code == 0


def test_sighup_without_a_change_is_answered_and_survived_while_draining(tmp_path: Path) -> None:
    config = tmp_path / "aimanager.toml"
    config.write_text(SERVER)
    with server_process(config) as server:
        server.event("server.started", START_SECONDS)

        server.hang_up()
        entry = server.event("config.reloaded")
        server.process.terminate()
        server.hang_up()
        exit_code = server.process.wait(20)

    assert (entry["trigger"], entry["changes"]) == ("signal", [])
    assert exit_code == 0


def test_a_change_is_in_use_within_five_seconds(tmp_path: Path) -> None:
    config = tmp_path / "aimanager.toml"
    config.write_text(SERVER)
    with server_process(config) as server:
        server.event("server.started", START_SECONDS)

        config.write_text(SERVER + 'log_level = "warning"\n')
        entry = server.event("config.reloaded", 5.0)
        config.write_text(SERVER + "[callers]\nbroken = 1\n")
        failure = server.event("config.reload_failed", 5.0)

    assert (entry["trigger"], entry["level"]) == ("file", "info")
    assert failure["problems"] == [f"callers.broken (file:{config}): must be a table"]
