"""Measure a client with the server in its own process: imports, start, and the CPU time of a call."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from .figures import GATEWAY, Figure
from .load import Load
from .measurements import WARM_UP_CALLS, Bench, cpu_microseconds
from .workload import ANSWER, UNARY

CALLS = 600


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU time of one run: of the import beyond grpcio, from then until the first answer, and of each later call."""

    import_cpu_ms: float
    start_cpu_ms: float
    call_cpu_us: float


async def embedded(bench: Bench, rounds: int) -> list[Figure]:
    """Measure the program below, and the server's CPU time for the same sequential calls, in alternating rounds."""
    runs: list[Measured] = []
    server_cpu: list[float] = []
    async with bench.servers() as servers, Load(servers[GATEWAY].address) as load:
        await load.unary(WARM_UP_CALLS, concurrency=1)
        for _ in range(rounds):
            runs.append(await asyncio.to_thread(_run, bench.upstream.port))
            server_cpu.append(await cpu_microseconds(servers[GATEWAY], lambda load: load.unary(CALLS, 1), load))
    ratios = [run.call_cpu_us / server for run, server in zip(runs, server_cpu, strict=True)]
    return [
        Figure("import_cpu_ms", "ms", {GATEWAY: [run.import_cpu_ms for run in runs]}),
        Figure("embedded_start_cpu_ms", "ms", {GATEWAY: [run.start_cpu_ms for run in runs]}),
        Figure("embedded_call_cpu_us", "µs/call", {GATEWAY: [run.call_cpu_us for run in runs]}),
        Figure("embedded_call_of_server", "ratio", {GATEWAY: ratios}),
    ]


def _run(upstream_port: int) -> Measured:
    command = [sys.executable, "-m", "tests.bench.embedded", str(upstream_port)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."})
    return Measured(**json.loads(done.stdout))


def main() -> None:
    """Embed a server in front of the upstream, call it, and print what was measured."""
    import grpc.aio  # noqa: F401 - what it costs is not counted

    before = time.process_time()
    from aimanager import AIManager

    import_cpu = time.process_time() - before
    before = time.process_time()
    provider = {
        "wire": "chat_completions",
        "base_url": f"http://127.0.0.1:{sys.argv[1]}/v1",
        "api_key": "bench-provider-key",
        "allow_any_model": True,
    }
    with AIManager.embedded(model=f"bench/{UNARY}", config={"providers": {"bench": provider}}) as ai:
        prompt = "Write a hundred words."
        assert ai.request(prompt).content == ANSWER
        start_cpu = time.process_time() - before
        for _ in range(WARM_UP_CALLS):
            ai.request(prompt)
        before = time.process_time()
        for _ in range(CALLS):
            ai.request(prompt)
        call_cpu = (time.process_time() - before) / CALLS
    print(
        json.dumps({"import_cpu_ms": import_cpu * 1e3, "start_cpu_ms": start_cpu * 1e3, "call_cpu_us": call_cpu * 1e6})
    )


if __name__ == "__main__":
    main()
