"""Measurements of the running servers, alternating between them in every round."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from .figures import ECHO, Figure, Samples
from .load import Load, direct_latencies, waiting_streams
from .processes import Process, free_port, gateway, started
from .revision import Revision

LATENCY_BATCH = 100
WAITING_STREAMS = 2000
WARM_UP_STREAMS = 200
COLD_STARTS = 5
WARM_UP_CALLS = 200

Pattern = Callable[[Load], Awaitable[int]]
PATTERNS: dict[str, tuple[str, Pattern]] = {
    "unary_cpu_us": ("µs/call", lambda load: load.unary(calls=1600, concurrency=32)),
    "unary_sequential_cpu_us": ("µs/call", lambda load: load.unary(calls=600, concurrency=1)),
    "burst_cpu_us_per_token": ("µs/token", lambda load: load.burst(calls=160, concurrency=16)),
    "paced_cpu_us_per_token": ("µs/token", lambda load: load.paced(calls=20, concurrency=20)),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """The upstream, and the gateway of each side to start in front of it."""

    upstream: Process
    revisions: Mapping[str, Revision]
    folder: Path

    @asynccontextmanager
    async def servers(self) -> AsyncIterator[dict[str, Process]]:
        """Run the echo server and the gateways, by side, until the block ends."""
        async with AsyncExitStack() as stack:
            port = free_port()
            servers = {ECHO: await stack.enter_async_context(started(port, "tests.bench.echo", f"127.0.0.1:{port}"))}
            for side, revision in self.revisions.items():
                servers[side] = await stack.enter_async_context(gateway(revision, self.upstream.port, self.folder))
            yield servers


async def cpu(servers: Mapping[str, Process], rounds: int) -> list[Figure]:
    """Measure the CPU time of each server process per call or token. A first round warms up and does not count."""
    figures = {name: Figure(name, unit, {side: [] for side in servers}) for name, (unit, _) in PATTERNS.items()}
    async with AsyncExitStack() as stack:
        loads = {side: await stack.enter_async_context(Load(server.address)) for side, server in servers.items()}
        for number in range(rounds + 1):
            for name, (_, pattern) in PATTERNS.items():
                for side in alternating(servers, number):
                    spent = await cpu_microseconds(servers[side], pattern, loads[side])
                    if number:
                        figures[name].samples[side].append(spent)
    return list(figures.values())


async def cpu_microseconds(server: Process, pattern: Pattern, load: Load) -> float:
    """Return the CPU time of the server for each call or token of the pattern."""
    before = server.cpu_seconds
    count = await pattern(load)
    return (server.cpu_seconds - before) / count * 1e6


async def added_latency(bench: Bench, servers: Mapping[str, Process], calls: int) -> list[Figure]:
    """Measure how much longer a sequential unary call takes through each server than directly from the upstream.

    The echo server calls no upstream, so that its whole latency counts.
    """
    direct: list[float] = []
    seconds: Samples = {side: [] for side in servers}
    async with AsyncExitStack() as stack:
        loads = {side: await stack.enter_async_context(Load(server.address)) for side, server in servers.items()}
        for load in loads.values():
            await load.latencies(WARM_UP_CALLS)
        stack.callback(gc.enable)
        gc.disable()  # a collection here would count as latency of the server
        for number in range(max(1, calls // LATENCY_BATCH)):
            direct += await direct_latencies(bench.upstream.port, LATENCY_BATCH)
            for side in alternating(servers, number):
                seconds[side] += await loads[side].latencies(LATENCY_BATCH)
            gc.collect()
    percentiles = {side: quantiles(values, n=100) for side, values in seconds.items()}
    baseline = quantiles(direct, n=100)
    figures = []
    for percent in (50, 99):
        added = {
            side: [(values[percent - 1] - (0.0 if side == ECHO else baseline[percent - 1])) * 1e3]
            for side, values in percentiles.items()
        }
        figures.append(Figure(f"unary_added_ms_p{percent}", "ms", added))
    return figures


def resident_memory(servers: Mapping[str, Process]) -> Figure:
    """Measure the resident memory of each server. Call it after the load."""
    return Figure("rss_mb", "MiB", {side: [server.resident_bytes / 2**20] for side, server in servers.items()})


async def stream_memory(bench: Bench) -> Figure:
    """Measure the resident memory that each open, waiting stream adds to a fresh server."""
    samples: Samples = {}
    async with bench.servers() as servers:
        for side, server in servers.items():
            async with Load(server.address) as load, waiting_streams(server.address, WARM_UP_STREAMS):
                await load.unary(WARM_UP_CALLS, concurrency=32)
                before = server.resident_bytes
                async with waiting_streams(server.address, WAITING_STREAMS):
                    samples[side] = [(server.resident_bytes - before) / WAITING_STREAMS / 1e3]
    return Figure("waiting_stream_kb", "kB", samples)


async def cold_start(bench: Bench) -> Figure:
    """Measure the seconds from the start of the process to SERVING. A first start, which compiles, does not count."""
    samples: Samples = {side: [] for side in bench.revisions}
    for number in range(COLD_STARTS + 1):
        for side in alternating(bench.revisions, number):
            began = time.perf_counter()
            async with gateway(bench.revisions[side], bench.upstream.port, bench.folder):
                if number:
                    samples[side].append(time.perf_counter() - began)
    return Figure("cold_start_s", "s", samples)


def alternating(sides: Mapping[str, object], number: int) -> Iterator[str]:
    """Return the sides, in the opposite order in every other round."""
    return iter(sides) if number % 2 else reversed(tuple(sides))
