"""Calls keep their deadline, and the program exits, when the server exits or never existed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from aimanager import AIError, AIManager, StreamInterruptedError
from tests.support.server_process import server_process

CONFIG = """
[server]
listen = "127.0.0.1:0"
metrics_listen = "off"
drain_delay_seconds = 1.0
"""
TIMEOUT = 3.0  # with 1.5 s the test passes even if grpcio loses the deadline
DEADLINE_LOST = 2 * TIMEOUT
"""Seconds after which a call has lost its deadline for certain."""


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server in its own process; yield the process and its address."""
    config = folder / "aimanager.toml"
    config.write_text(CONFIG)
    command = (sys.executable, "-u", "-m", "aimanager_server", "serve", "--config", str(config))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            started = next(line for line in process.stdout if "server.started" in line)
            threading.Thread(target=process.stdout.read, daemon=True).start()
            port = re.search(r'\bport"?[=:]\s*(\d+)', started)
            assert port is not None, started
            yield process, f"127.0.0.1:{port[1]}"
        finally:
            process.kill()


def test_streams_keep_their_deadline_when_the_server_exits(tmp_path: Path) -> None:
    ended, stop = threading.Event(), threading.Event()

    def read_streams(client: AIManager) -> None:
        while not stop.is_set():
            with suppress(AIError):
                "".join(client.stream("x", model="mock/latest", timeout=TIMEOUT).text)
            ended.set()

    with server(tmp_path) as (process, target):
        client = AIManager.gateway(target)
        callers = [threading.Thread(target=read_streams, args=(client,), daemon=True) for _ in range(4)]
        for caller in callers:
            caller.start()
        ended.wait()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        stop.set()
        for caller in callers:
            caller.join(DEADLINE_LOST)

    assert not any(caller.is_alive() for caller in callers)
    client.close()


def test_stream_is_interrupted_if_the_server_dies() -> None:
    with server_process() as server, AIManager.gateway(server.target, model="mock/latest") as client:
        stream = client.stream("[[reply: One, two.]] [[stall: 1]]")
        texts = stream.text
        assert next(texts) == "One, "
        server.stop(signal.SIGKILL)

        with pytest.raises(StreamInterruptedError, match="connection to the gateway was lost"):
            next(texts)

    assert stream.partial.content == "One, "


def test_program_exits_after_an_unreachable_gateway() -> None:
    program = (
        "from aimanager import AIError, AIManager\n"
        "ai = AIManager.gateway('127.0.0.1:1')\n"
        "try: ai.request('x', timeout=0.3)\n"
        "except AIError as error: print(error.reason)\n"
    )

    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert (completed.stdout, completed.returncode) == ("UNAVAILABLE\n", 0)
