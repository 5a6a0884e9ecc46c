"""The servers under measurement: each in a process of its own, on loopback, killed at the end."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .load import TOKEN_OF_CALLER

START_SECONDS = 30.0

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
metrics_listen = "127.0.0.1:{metrics_port}"

[callers.bench]
token_sha256 = "{digest}"
tier = "bench"

[tiers.bench]
requests_per_minute = 100_000_000
tokens_per_minute = 1_000_000_000

[providers.bench]
wire = "chat_completions"
base_url = "http://127.0.0.1:{upstream_port}/v1"
api_key = "bench-provider-key"
allow_any_model = true
"""


class Process:
    """A running server. `port` is where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.address = f"127.0.0.1:{port}"

    @property
    def cpu(self) -> float:
        """CPU seconds of the whole process so far, user and system, to the nanosecond."""
        return time.clock_gettime((~self._process.pid << 3) | 2)  # clock_getcpuclockid(3), which Python does not offer

    @property
    def resident_bytes(self) -> int:
        """Memory held now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    @property
    def has_ended(self) -> bool:
        """It is not running any more."""
        return self._process.returncode is not None


@asynccontextmanager
async def started(port: int, *arguments: str) -> AsyncIterator[Process]:
    """`python -m …` that listens on `port`; its logs are written, to nowhere."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    process = Process(child, port)
    try:
        await _listening(process)
        yield process
    finally:
        if not process.has_ended:
            child.kill()
        await child.wait()


@asynccontextmanager
async def gateway(upstream_port: int, folder: Path) -> AsyncIterator[Process]:
    """The real server with everything switched on, in front of the upstream."""
    port = free_port()
    config = folder / f"gateway-{port}.toml"
    digest = hashlib.sha256(TOKEN_OF_CALLER.encode()).hexdigest()
    config.write_text(CONFIG.format(port=port, metrics_port=free_port(), upstream_port=upstream_port, digest=digest))
    async with started(port, "aimanager_server", "serve", "--config", str(config)) as process:
        await serving(process)
        yield process


async def serving(process: Process) -> None:
    """Wait until the server says SERVING."""
    deadline = time.monotonic() + START_SECONDS
    async with grpc.aio.insecure_channel(process.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        while time.monotonic() < deadline:
            try:
                answer = await check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=START_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise RuntimeError(f"{process.address} does not answer health checks: {error.details()}") from error
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.005)
    raise TimeoutError(f"{process.address} was not SERVING within {START_SECONDS:g} seconds")


async def _listening(process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not process.has_ended:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", process.port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        return
    raise RuntimeError(f"nothing came to listen on {process.address}: run the command by hand to see why")


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
