"""Load a server for minutes, and report what grows: `make soak SECONDS=600`.

Before the run, the stores that are bounded in entries are filled, so that it measures what does not stop growing. The
first part of the run is a warm-up. The slope of the rest is Theil and Sen's, with its 95 % confidence interval.

A run fails if even the lower end of the interval is above the bound: the aim, and what noise adds in a run of this
length. It proves the aim if the upper end is below it; otherwise the report says that a longer run is needed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from threading import Thread

from tests.soak.trend import FAILED, NOT_PROVEN, trend
from tests.soak.workload import Workload
from tests.support.server_process import ServerProcess, server_process

CALLERS = 6
PAUSE_SECONDS = 0.02
WARM_UP = 0.4
"""Share of the run that does not count: the allocator and the database's caches reach their sizes."""

FILL_CALLS = 2_500
"""Calls for each model before the run: more than the samples of a model or provider that the server keeps."""

SMALL_CACHES = ("--set", "idempotency.max_entries=50")

BOUNDS = {
    "rss_mib": (1.0, 0.3),
    "file_descriptors": (1.0, 2.0),
    "threads": (1.0, 1.0),
    "asyncio_tasks": (1.0, 5.0),
}
"""Growth per hour that is not a leak, and the change that calls in flight and the allocator cause in any run.

The entries of stores have no slope to check: each store is bounded by itself. Those that still grow are printed.
"""

STORE = "entries of "

Sample = dict[str, float]


def main() -> int:
    """Run the load, print the slopes, and return 1 if one exceeds its bound or a call failed unexpectedly."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="duration (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server_process("--set", f"storage.url=sqlite+aiosqlite:///{folder}/store.db", *SMALL_CACHES) as server,
    ):
        # A full pipe would hold back the log.
        Thread(target=lambda: deque(server.lines(), 0), daemon=True).start()
        samples, workload = asyncio.run(soak(server, arguments.seconds, arguments.seed))
    print(f"{sum(workload.counts.values())} calls: {dict(sorted(workload.counts.items()))}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    failures = report(samples) + [f"{count} × {failure}" for failure, count in workload.unexpected.items()]
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"soak: {'failed' if failures else 'passed'}")
    return 1 if failures else 0


async def soak(server: ServerProcess, seconds: float, seed: int) -> tuple[list[tuple[float, Sample]], Workload]:
    """Load the server and sample it in intervals of at most two seconds."""
    workload, ended = Workload(server.target, seed), asyncio.Event()
    callers: list[asyncio.Future[None]] = []
    samples: list[tuple[float, Sample]] = []
    try:
        await workload.fill(FILL_CALLS)
        callers += [asyncio.ensure_future(workload.run(ended, PAUSE_SECONDS)) for _ in range(CALLERS)]
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append((elapsed, await asyncio.to_thread(sample, server)))
            await asyncio.sleep(min(2.0, seconds / 200))
        ended.set()
        await asyncio.gather(*callers)
    finally:
        await workload.aclose()
    return samples, workload


def sample(server: ServerProcess) -> Sample:
    """Return what the server holds now."""
    folder = Path(f"/proc/{server.process.pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    metrics = server.metrics()
    stores = re.findall(r'^aimanager_state_entries\{store="(\w+)"\} (\S+)$', metrics, re.MULTILINE)
    return {
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "file_descriptors": len(list((folder / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "asyncio_tasks": _gauge(metrics, "aimanager_asyncio_tasks"),
        "requests_in_flight": _gauge(metrics, "aimanager_requests_in_flight"),
        "metric_lines": metrics.count("\n"),
        **{f"{STORE}{name}": float(entries) for name, entries in stores},
    }


def _gauge(metrics: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE)
    assert found is not None, f"{name} is not exported"
    return float(found[1])


def report(samples: list[tuple[float, Sample]]) -> list[str]:
    """Print the trend of each quantity after the warm-up, and return those that exceed their bounds."""
    start = samples[-1][0] * WARM_UP
    kept = [(elapsed, one) for elapsed, one in samples if elapsed >= start]
    hours = (kept[-1][0] - kept[0][0]) / 3600
    print(f"after a warm-up of {start:.0f} s, in {hours * 3600:.0f} s:")
    print(f"{'':22}{'first':>9}{'last':>9}{'slope/h':>9}{'95 % interval':>20}{'aim/h':>7}{'bound/h':>9}")
    failures = []
    for name in kept[0][1]:
        found = trend([(elapsed, one[name]) for elapsed, one in kept])
        if name.startswith(STORE) and found.lower <= 0:
            continue
        interval = f"{found.lower:.2f} to {found.upper:.2f}"
        line = f"{name:22}{kept[0][1][name]:9.1f}{kept[-1][1][name]:9.1f}{found.slope:9.2f}{interval:>20}"
        if name in BOUNDS:
            aim, noise = BOUNDS[name]
            bound = aim + noise / hours
            verdict = found.verdict(aim, bound)
            line += f"{aim:7.1f}{bound:9.1f}  {verdict}"
            if verdict == FAILED:
                failures.append(f"{name} grows by {found.slope:.2f} an hour, at least by {found.lower:.2f}")
            elif verdict == NOT_PROVEN:
                line += ": run it longer, on a quiet machine"
        print(line)
    return failures


if __name__ == "__main__":
    sys.exit(main())
