"""Rolling restarts: calls finish on the server where they started, and new calls go to the next server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.integration.faults.fault_catalog import responds
from tests.integration.faults.gateway import generate_request, text_of, wait_until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Delay, Request, Responder, Step, Upstream
from tests.integration.faults.wires import TEXT, chunk, stream_events, stream_headers
from tests.support.paths import ROOT

CONFIG = """
[server]
listen = "127.0.0.1:0"
metrics_listen = "off"
drain_delay_seconds = {drain_delay}
drain_timeout_seconds = 10.0

[providers.first]
wire = "chat_completions"
base_url = "{url}"
api_key = "sk-of-first"
models = ["m"]
"""
PYTHON_PATH = os.pathsep.join(map(str, (ROOT / "server", ROOT / "clients" / "python")))


def responds_slowly(interval: float) -> Responder:
    """Stream a complete response with pauses between its events."""

    def respond(request: Request) -> tuple[Step, ...]:
        events = (step for event in stream_events(request).all() for step in (chunk(event), Delay(interval)))
        return (stream_headers(), *events, chunk(b""))

    return respond


class ServerProcess:
    """A gateway in a separate process, which may still be starting."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @cached_property
    def target(self) -> str:
        """host:port of the gateway, available once it has started."""
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        started = next(line for line in lines if "server.started" in line)
        port = re.search(r'\bport"?[=:]\s*(\d+)', started)
        assert port is not None, started
        # Read the rest, so that a full pipe never blocks the server.
        threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
        return f"127.0.0.1:{port[1]}"

    def terminate(self) -> None:
        """Send SIGTERM, which drains the server."""
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def server_process(folder: Path, upstream: Upstream, drain_delay: float = 0.0) -> Iterator[ServerProcess]:
    """Start a gateway in a separate process, without waiting for it; kill it when the block ends."""
    config = folder / f"aimanager-{drain_delay}.toml"
    config.write_text(CONFIG.format(url=upstream.url, drain_delay=drain_delay))
    command = (sys.executable, "-m", "aimanager_server", "--config", str(config))
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.kill()


@scenario(31)
def test_a_stream_finishes_after_its_server_received_sigterm(tmp_path: Path) -> None:
    first = Upstream(responds_slowly(0.005))

    with (
        served_upstreams(first),
        server_process(tmp_path, first) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub: Any = GenerationServiceStub(channel)
        request = generation_pb2.StreamGenerateRequest(request=generate_request("first/m"))
        call = stub.StreamGenerate(request, timeout=20)
        events = [next(call) for _ in range(5)]
        server.terminate()
        events.extend(call)
        exit_code = server.process.wait(20)

    assert text_of(events[-1].completed) == TEXT
    assert exit_code == 0


@scenario(31)
def test_no_call_is_lost_during_a_rolling_restart(tmp_path: Path) -> None:
    first = Upstream(responds())
    with (
        served_upstreams(first),
        server_process(tmp_path, first, drain_delay=0.3) as old,
        server_process(tmp_path, first) as new,
        grpc.insecure_channel(old.target) as old_channel,
        grpc.insecure_channel(new.target) as new_channel,
    ):
        balancer = _LoadBalancer(old_channel, new_channel)
        clients = [_Client(balancer) for _ in range(4)]
        for thread in (balancer, *clients):
            thread.start()
        wait_until(lambda: all(client.completed["old"] for client in clients))
        old.terminate()
        exit_code = old.process.wait(20)
        wait_until(lambda: all(client.completed["new"] or client.errors for client in clients))
        for client in clients:
            client.stop.set()
            client.join()
        balancer.join()

    assert exit_code == 0
    assert [client.errors for client in clients] == [[]] * 4


class _LoadBalancer(threading.Thread):
    """Routes calls to the old server until its health check reports that it is not ready, then to the new one."""

    def __init__(self, old: grpc.Channel, new: grpc.Channel) -> None:
        super().__init__()
        self.stubs: dict[str, Any] = {"old": GenerationServiceStub(old), "new": GenerationServiceStub(new)}
        self.selected = "old"
        self._health = HealthStub(old)

    def run(self) -> None:
        for response in self._health.Watch(HealthCheckRequest(service="readiness")):
            if response.status != HealthCheckResponse.SERVING:
                self.selected = "new"
                return


class _Client(threading.Thread):
    """Sends calls one after the other until it is stopped or a call fails."""

    def __init__(self, balancer: _LoadBalancer) -> None:
        super().__init__()
        self._balancer = balancer
        self.completed = {"old": 0, "new": 0}
        self.errors: list[grpc.RpcError] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set() and not self.errors:
            selected = self._balancer.selected
            try:
                self._balancer.stubs[selected].Generate(generate_request("first/m"), timeout=10)
                self.completed[selected] += 1
            except grpc.RpcError as error:
                self.errors.append(error)
