"""Load a server for minutes, and report what grows: `make soak SECONDS=600`.

A slope fails only if it is above its bound even at the lower end of its 95 % confidence interval. The bound is the aim,
less than 1 MiB an hour, and what noise adds in a run of this length. The report says whether the run proves the aim.
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

from tests.soak.trend import trend
from tests.soak.workload import Workload
from tests.support.server_process import ServerProcess, server_process

CALLERS = 6
PAUSE_SECONDS = 0.02
WARM_UP = 0.4
"""Share of the run that does not count: caches fill up, and the allocator reaches its size."""

SMALL_CACHES = ("--set", "idempotency.max_entries=50")
"""Full before the warm-up ends."""

BOUNDS = {"rss_mib": (1.0, 2.0), "file_descriptors": (1.0, 6.0), "threads": (1.0, 4.0)}
"""Growth per hour that is not a leak, and the change that calls in flight and the allocator cause in any run.

The entries of stores have no slope to check: each store is bounded by itself.
"""

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
    callers = [asyncio.ensure_future(workload.run(ended, PAUSE_SECONDS)) for _ in range(CALLERS)]
    samples: list[tuple[float, Sample]] = []
    began = time.monotonic()
    try:
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append((elapsed, await asyncio.to_thread(sample, server)))
            await asyncio.sleep(min(2.0, seconds / 100))
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
    stores = re.findall(r'^aimanager_state_entries\{store="\w+"\} (\S+)$', metrics, re.MULTILINE)
    in_flight = re.search(r"^aimanager_requests_in_flight (\S+)$", metrics, re.MULTILINE)
    return {
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "file_descriptors": len(list((folder / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "state_entries": sum(map(float, stores)),
        "requests_in_flight": float(in_flight[1]) if in_flight else 0.0,
    }


def report(samples: list[tuple[float, Sample]]) -> list[str]:
    """Print the trend of each quantity after the warm-up, and return those that exceed their bounds."""
    start = samples[-1][0] * WARM_UP
    kept = [(elapsed, one) for elapsed, one in samples if elapsed >= start]
    hours = (kept[-1][0] - kept[0][0]) / 3600
    print(f"{'':20}{'first':>9}{'last':>9}{'slope/h':>10}{'±':>9}{'bound/h':>9}{'aim/h':>7}")
    failures = []
    for name in kept[0][1]:
        found = trend([(elapsed, one[name]) for elapsed, one in kept])
        line = f"{name:20}{kept[0][1][name]:9.1f}{kept[-1][1][name]:9.1f}{found.slope:10.2f}{found.uncertainty:9.2f}"
        if name in BOUNDS:
            aim, noise = BOUNDS[name]
            bound = aim + noise / hours
            verdict = "proven" if found.proves(aim) else "not proven by a run of this length"
            line += f"{bound:9.1f}{aim:7.1f}  {verdict}"
            if found.exceeds(bound):
                failures.append(f"{name} grows by {found.slope:.2f} ± {found.uncertainty:.2f} an hour")
        print(line)
    return failures


if __name__ == "__main__":
    sys.exit(main())
