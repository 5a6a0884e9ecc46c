"""What a call costs the gateway, beside the least a bare gRPC server would take: `make bench`."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import uvloop

from .engine import engine
from .load import Load, direct_latencies
from .processes import Process, free_port, gateway, started

RESULTS = Path("build/bench.json")
LATENCY_CALLS = 300

Pattern = Callable[[Load], Awaitable[int]]
PATTERNS: dict[str, tuple[str, Pattern]] = {
    "unary_cpu_us": ("µs/call", lambda load: load.unary(calls=1600, concurrency=32)),
    "burst_cpu_us_per_token": ("µs/token", lambda load: load.burst(calls=160, concurrency=16)),
    "paced_cpu_us_per_token": ("µs/token", lambda load: load.paced(calls=20, concurrency=20)),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; `floor` is what a bare server takes under the same load, `ratio` how many times that."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """The processes under measurement."""

    upstream: Process
    echo: Process
    gateway: Process


async def measure(rounds: int) -> list[Figure]:
    """Everything, in alternating rounds; medians."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, echo_port = free_port(), free_port()
        upstream = await stack.enter_async_context(started(port, "tests.bench.upstream", str(port)))
        echo = await stack.enter_async_context(started(echo_port, "tests.bench.echo", f"127.0.0.1:{echo_port}"))
        cold = [await cold_start(upstream, folder) for _ in range(min(rounds, 3))]
        bench = Bench(upstream, echo, await stack.enter_async_context(gateway(port, folder)))
        figures = await cpu(bench, rounds) + await added(bench, rounds)
        memory = bench.gateway.resident_bytes / 2**20
    added_by_engine = (await engine(rounds)).engine
    return [
        *figures,
        Figure("engine_added_us", added_by_engine, "µs/call"),
        Figure("rss_mb", memory, "MiB"),
        Figure("cold_start_s", median(cold), "s"),
    ]


async def cpu(bench: Bench, rounds: int) -> list[Figure]:
    """CPU of the server's process alone, per call or token. The first round warms up and does not count."""
    async with Load(bench.echo.address) as floor, Load(bench.gateway.address) as load:
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PATTERNS}
        for _ in range(rounds + 1):
            for name, (_, pattern) in PATTERNS.items():
                taken[name].append((await spent(bench.echo, pattern, floor), await spent(bench.gateway, pattern, load)))
    return [figure(name, unit, taken[name][1:]) for name, (unit, _) in PATTERNS.items()]


async def spent(process: Process, pattern: Pattern, load: Load) -> float:
    """Microseconds of CPU for each call or token."""
    before = process.cpu
    count = await pattern(load)
    return (process.cpu - before) / count * 1e6


def figure(name: str, unit: str, pairs: list[tuple[float, float]]) -> Figure:
    """The medians of floor and value; the ratio is the median of the rounds' own."""
    floor, value = (median(side) for side in zip(*pairs, strict=True))
    return Figure(name, value, unit, floor, median(mine / bare for bare, mine in pairs))


async def added(bench: Bench, rounds: int) -> list[Figure]:
    """Milliseconds that the way through the gateway takes longer than straight to the upstream."""
    direct: list[float] = []
    through: list[float] = []
    async with Load(bench.gateway.address) as load:
        await load.latencies(LATENCY_CALLS)
        for _ in range(rounds):
            direct += await direct_latencies(bench.upstream.port, LATENCY_CALLS)
            through += await load.latencies(LATENCY_CALLS)
    near, far = quantiles(direct, n=100), quantiles(through, n=100)
    return [Figure(f"unary_added_ms_p{share}", (far[share - 1] - near[share - 1]) * 1e3, "ms") for share in (50, 99)]


async def cold_start(upstream: Process, folder: Path) -> float:
    """Seconds from the start of the process to SERVING."""
    began = time.perf_counter()
    async with gateway(upstream.port, folder):
        return time.perf_counter() - began


def table(figures: list[Figure]) -> str:
    """The figures, to be read by people."""
    lines = [f"{'':24}{'value':>10}  {'unit':10}{'floor':>10}{'ratio':>8}"]
    for one in figures:
        floor = f"{one.floor:10.2f}" if one.floor is not None else " " * 10
        ratio = f"{one.ratio:8.2f}" if one.ratio is not None else ""
        lines.append(f"{one.name:24}{one.value:10.2f}  {one.unit:10}{floor}{ratio}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write build/bench.json."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of which the median counts")
    figures = uvloop.run(measure(parser.parse_args().rounds))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(one) for one in figures], indent=2) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
