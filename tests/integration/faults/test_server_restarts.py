"""Servers that are replaced under load: calls end where they began, and new ones find the next server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.integration.faults.fault_catalog import says
from tests.integration.faults.gateway import question, text_of, until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.socket_faults import listening
from tests.integration.faults.upstream import Answer, Asked, Pause, Step, Upstream
from tests.integration.faults.wires import TEXT, begun, chunk, streamed
from tests.support.paths import ROOT

CONFIG = """
[server]
listen = "127.0.0.1:0"
metrics_listen = "off"
drain_notice_seconds = {notice}
drain_seconds = 10.0

[providers.first]
wire = "chat_completions"
base_url = "{url}"
api_key = "sk-of-first"
models = ["m"]
"""
SERVER = ROOT / "server"
CLIENT = ROOT / "clients" / "python"


def slowly(every: float) -> Answer:
    """A whole answer, word by word."""

    def answer(asked: Asked) -> tuple[Step, ...]:
        return (begun(), *(step for one in streamed(asked).whole() for step in (chunk(one), Pause(every))), chunk(b""))

    return answer


@contextmanager
def process(folder: Path, upstream: Upstream, notice: float = 0.0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and where it listens."""
    config = folder / "aimanager.toml"
    config.write_text(CONFIG.format(url=upstream.url, notice=notice))
    command = (sys.executable, "-m", "aimanager_server", "--config", str(config))
    environment = {**os.environ, "PYTHONPATH": f"{SERVER}{os.pathsep}{CLIENT}", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as one:
        assert one.stdout is not None
        try:
            lines = iter(one.stdout.readline, "")
            started = next(line for line in lines if "server.started" in line)
            found = re.search(r'\bport"?[=:]\s*(\d+)', started)
            assert found is not None, started
            # Read on, so that a full pipe never holds the server up.
            threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
            yield one, f"127.0.0.1:{found[1]}"
        finally:
            one.kill()


@scenario(31)
def test_a_stream_outlives_the_signal_that_ends_its_server(tmp_path: Path) -> None:
    first = Upstream(slowly(0.01))

    with listening(first), process(tmp_path, first) as (server, target), grpc.insecure_channel(target) as channel:
        stub: Any = GenerationServiceStub(channel)
        call = stub.StreamGenerate(_streaming(), timeout=20)
        seen = [next(call) for _ in range(5)]
        server.send_signal(signal.SIGTERM)
        seen.extend(call)
        code = server.wait(20)

    assert text_of(seen[-1].completed) == TEXT
    assert code == 0


@scenario(31)
def test_no_call_is_lost_while_one_server_replaces_another(tmp_path: Path) -> None:
    first = Upstream(says())
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with (
        listening(first),
        process(tmp_path / "old", first, notice=0.5) as (old, old_target),
        process(tmp_path / "new", first) as (_, new_target),
        grpc.insecure_channel(old_target) as before,
        grpc.insecure_channel(new_target) as after,
    ):
        balancer = _Balancer(before, after)
        load = [_Load(balancer) for _ in range(4)]
        for one in (balancer, *load):
            one.start()
        until(lambda: all(one.answered["old"] for one in load))
        old.send_signal(signal.SIGTERM)
        code = old.wait(20)
        until(lambda: all(one.answered["new"] or one.failed for one in load))
        for one in load:
            one.ends.set()
            one.join()
        balancer.join()

    assert code == 0
    assert [one.failed for one in load] == [[]] * 4


class _Balancer(threading.Thread):
    """Sends calls to the old server until that says that it is not ready, and then to the new one."""

    def __init__(self, before: grpc.Channel, after: grpc.Channel) -> None:
        super().__init__()
        self.stubs: dict[str, Any] = {"old": GenerationServiceStub(before), "new": GenerationServiceStub(after)}
        self.chosen = "old"
        self._health = HealthStub(before)

    def run(self) -> None:
        for answer in self._health.Watch(HealthCheckRequest(service="readiness")):
            if answer.status != HealthCheckResponse.SERVING:
                self.chosen = "new"
                return


class _Load(threading.Thread):
    """One call after the other."""

    def __init__(self, balancer: _Balancer) -> None:
        super().__init__()
        self._balancer = balancer
        self.answered = {"old": 0, "new": 0}
        self.failed: list[grpc.RpcError] = []
        self.ends = threading.Event()

    def run(self) -> None:
        while not self.ends.is_set() and not self.failed:
            chosen = self._balancer.chosen
            try:
                self._balancer.stubs[chosen].Generate(question("first/m"), timeout=10)
                self.answered[chosen] += 1
            except grpc.RpcError as error:
                self.failed.append(error)


def _streaming() -> generation_pb2.StreamGenerateRequest:
    return generation_pb2.StreamGenerateRequest(request=question("first/m"))
