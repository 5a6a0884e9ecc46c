"""The servers being measured: each in its own process, on loopback, killed at the end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .load import CALLER_TOKEN
from .revision import Revision

START_SECONDS = 30.0

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
metrics_listen = "127.0.0.1:{metrics_port}"
max_in_flight = 4000
max_in_flight_per_caller = 4000

[callers.bench]
{token}
tier = "bench"

[tiers.bench]
requests_per_minute = 100_000_000
tokens_per_minute = 1_000_000_000

[providers.bench]
wire = "chat_completions"
base_url = "http://127.0.0.1:{upstream_port}/v1"
api_key = "bench-provider-key"
allow_any_model = true
max_connections = 4000
"""
"""Only settings whose names are the same in every revision since the first with a benchmark, but for `token`."""


class Process:
    """A running server. `port` is where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.address = f"127.0.0.1:{port}"

    @property
    def cpu_seconds(self) -> float:
        """User and system CPU time of the whole process so far, in nanosecond resolution."""
        return time.clock_gettime((~self._process.pid << 3) | 2)  # clock_getcpuclockid(3), which Python does not offer

    @property
    def resident_bytes(self) -> int:
        """Resident memory now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    @property
    def has_ended(self) -> bool:
        """Whether the process has exited."""
        return self._process.returncode is not None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)


@asynccontextmanager
async def started(port: int, *arguments: str, python_path: str = "") -> AsyncIterator[Process]:
    """Run `python -m …` until the block ends, once it listens on `port`. Its output goes to /dev/null."""
    environment = {**os.environ, "PYTHONPATH": python_path}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments,
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    process = Process(child, port)
    try:
        await _wait_until_listening(
            process, f"PYTHONPATH={python_path} {shlex.join([sys.executable, '-m', *arguments])}"
        )
        yield process
    finally:
        if not process.has_ended:
            child.kill()
        await child.wait()


@asynccontextmanager
async def gateway(
    revision: Revision,
    upstream_port: int,
    folder: Path,
    module: tuple[str, ...] = ("aimanager_server",),
    settings: str = "",
) -> AsyncIterator[Process]:
    """Run the gateway of a revision in front of the upstream, through `module`, once it is SERVING.

    `settings` is more TOML for its configuration.
    """
    port = free_port()
    config = folder / f"gateway-{port}.toml"
    token = _token_settings(revision)
    text = CONFIG.format(port=port, metrics_port=free_port(), upstream_port=upstream_port, token=token)
    config.write_text(f"{text}\n{settings}")
    arguments = (*module, "serve", "--config", str(config))
    async with started(port, *arguments, python_path=revision.python_path) as process:
        await _wait_until_serving(process)
        yield process


def _token_settings(revision: Revision) -> str:
    digest = hashlib.sha256(CALLER_TOKEN.encode()).hexdigest()
    if (revision.tree / "server/aimanager_server/config/callers.py").exists():
        return f'tokens = [{{ id = "bench", sha256 = "{digest}" }}]'
    return f'token_sha256 = "{digest}"'  # older revisions


def free_port() -> int:
    """Return a port of loopback on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _wait_until_serving(process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with grpc.aio.insecure_channel(process.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        while time.monotonic() < deadline:
            try:
                response = await check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=START_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise RuntimeError(f"{process.address} fails its health check: {error.details()}") from error
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.005)
    raise TimeoutError(f"{process.address} was not SERVING within {START_SECONDS:g} s")


async def _wait_until_listening(process: Process, command: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not process.has_ended:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", process.port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        return
    raise RuntimeError(f"Nothing listens on {process.address}. Run the command by hand to see why:\n{command}")
