"""Measure where the CPU time of a unary call goes, by the areas of the gateway's code."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from .figures import Figure
from .load import Load
from .measurements import Bench, alternating, cpu_microseconds
from .processes import Process, gateway
from .profiled_gateway import SAMPLE_SECONDS

CALLS = 250
REPETITIONS = 4
POLL_SECONDS = 0.01

INTERCEPTORS, SERVICE, CONVERSION, RESOLVER = "interceptors", "service", "conversion", "resolver"
LAYERS, TELEMETRY, WIRE, TRANSPORT = "layers", "telemetry", "wire", "transport"
GRPC = "grpc_and_event_loop"
"""Everything outside the gateway's own code: gRPC, the event loop, the kernel."""

AREA_PATTERNS = (
    (r"commands/|(?:app|cli|__main__)\.py|(?:rpc/)?server\.py", GRPC),
    (r"rpc/(?:interceptor|context\.py|rpc\.py)", INTERCEPTORS),
    (r"rpc/(?:convert/|wire_)", CONVERSION),
    (r"rpc/|v1/", SERVICE),
    (r"routing/|validation/|catalog", RESOLVER),
    (r"telemetry/|(?:log|metrics)\.py", TELEMETRY),
    (r"providers/wires/", WIRE),
    (r"providers/(?:http|pool|transport|factory|endpoints|attachments|plugins|mock)", TRANSPORT),
    # Before the rename, which moved modules into packages by these areas.
    (r"pipeline/(?:resolve|plan|names|needs|shortlist|checks|turns|effort|routes|routing|formats)\.py", RESOLVER),
    (r"state/(?:histogram|tally|sums|quality|vitals)\.py", TELEMETRY),
    (r"providers/", WIRE),
    (r"", LAYERS),  # with the types in core/
)
AREAS = (
    (re.compile(".*/aiohttp/"), TRANSPORT),
    *((re.compile(rf".*/aimanager(?:_server)?/(?:{pattern})"), area) for pattern, area in AREA_PATTERNS),
)
"""Areas by path; the first match counts."""


async def call_profile(bench: Bench, rounds: int) -> list[Figure]:
    """Measure the CPU time of a sequential unary call by area.

    A file counts for its area with the builtins and libraries that it calls. What remains of the CPU time without the
    profiler is `grpc_and_event_loop`.
    """
    names = (*dict.fromkeys(area for _, area in AREA_PATTERNS if area != GRPC), GRPC, "total")
    figures = {name: Figure(f"profile_{name}_us", "µs/call", {side: [] for side in bench.revisions}) for name in names}
    for number in range(rounds):
        for side in alternating(bench.revisions, number):
            file = bench.folder / f"{side}.json"
            module = ("tests.bench.profiled_gateway", str(file))
            async with (
                gateway(bench.revisions[side], bench.upstream.port, bench.folder, module) as server,
                Load(server.address) as load,
            ):
                microseconds = await _measure(server, load, file)
            for name in names:
                figures[name].samples[side].append(microseconds.get(name, 0.0))
    return list(figures.values())


async def _measure(server: Process, load: Load, file: Path) -> dict[str, float]:
    """Alternate between calls without the profiler, for the total, and calls with it, for the areas."""

    async def sequential(load: Load) -> int:
        return await load.unary(CALLS, concurrency=1)

    await sequential(load)
    totals: list[float] = []
    samples: dict[str, int] = {}
    for _ in range(REPETITIONS):
        totals.append(await cpu_microseconds(server, sequential, load))
        server.send_signal(signal.SIGUSR1)
        await sequential(load)
        server.send_signal(signal.SIGUSR2)
        samples = await _written(file)
    total = fmean(totals)
    areas = time_by_area(samples, SAMPLE_SECONDS / (CALLS * REPETITIONS) * 1e6)
    return {**areas, GRPC: total - sum(areas.values()), "total": total}


def time_by_area(samples: Mapping[str, int], unit: float) -> dict[str, float]:
    """Return `unit` times the samples of each area of the gateway's own code."""
    areas: dict[str, float] = {}
    for file, count in samples.items():
        area = next(area for pattern, area in AREAS if pattern.match(file))
        areas[area] = areas.get(area, 0.0) + count * unit
    areas.pop(GRPC, None)
    return areas


async def _written(file: Path) -> dict[str, int]:
    """Wait for the samples, and delete the file."""
    while (samples := _take(file)) is None:  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(POLL_SECONDS)
    return samples


def _take(file: Path) -> dict[str, int] | None:
    """Read and delete the samples; None if they are not written yet."""
    if not file.exists():
        return None
    samples: dict[str, int] = json.loads(file.read_bytes())
    file.unlink()
    return samples
