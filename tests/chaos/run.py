"""Inject every fault under load, then check outcomes, reports and leaks: `make chaos`.

Usage: make chaos [SECONDS=60] [ARGS="--seed 7 --part load"]. The seed determines what callers and upstreams do, so
that a run can be repeated; it does not determine the order in which requests reach the server.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from random import SystemRandom
from time import monotonic

from tests.chaos.bursts import bursts
from tests.chaos.cancels import cancels
from tests.chaos.defaults import defaults
from tests.chaos.load import load
from tests.chaos.preferred_waits import preferred_waits
from tests.chaos.races import races
from tests.chaos.report import Measurement, Report, table
from tests.chaos.storage import storage

PARTS: dict[str, Callable[[int, float], Report]] = {
    "load": load,
    "cancels": lambda seed, seconds: cancels(),
    "races": lambda seed, seconds: races(seed),
    "bursts": lambda seed, seconds: bursts(seed),
    "preferred_waits": lambda seed, seconds: preferred_waits(),
    "defaults": lambda seed, seconds: defaults(min(seconds, 60.0)),
    "storage": lambda seed, seconds: storage(min(seconds, 30.0)),
}
LANES = (("load", "cancels", "races", "bursts", "preferred_waits"), ("defaults", "storage"))
"""Lanes run concurrently, the parts of a lane one after the other, each in a separate process."""

EXTRA_SECONDS = 100.0
"""Time that a part may take in addition to the requested duration."""


def main() -> int:
    """Run the parts and print their measurements and violations; return 1 if any check failed."""
    arguments = _arguments()
    if arguments.inside:
        print(json.dumps(asdict(PARTS[arguments.inside](arguments.seed, arguments.seconds))))
        return 0
    print(f"seed {arguments.seed}", flush=True)
    started_at = monotonic()
    lanes = [[part for part in lane if arguments.part in ("", part)] for lane in LANES]
    with ThreadPoolExecutor(len(lanes)) as pool:
        reports = list(pool.map(lambda lane: _run_lane(lane, arguments.seed, arguments.seconds), lanes))
    report = Report()
    for one in reports:
        report.merge(one)
    report.record("total seconds", monotonic() - started_at)
    print(table(report.measurements))
    for violation in report.violations:
        print(f"VIOLATED {violation}")
    verdict = "passed" if report.passed else f"failed, see above; repeat with --seed {arguments.seed}"
    print(f"chaos: {verdict}")
    return 0 if report.passed else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="duration of the load and of the outages")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    parser.add_argument("--part", choices=("", *PARTS), default="", help="run only this part")
    parser.add_argument("--inside", choices=("", *PARTS), default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_lane(parts: Sequence[str], seed: int, seconds: float) -> Report:
    report = Report()
    for part in parts:
        report.merge(_run_part(part, seed, seconds))
    return report


def _run_part(part: str, seed: int, seconds: float) -> Report:
    timeout = seconds + EXTRA_SECONDS
    module = (sys.executable, "-m", "tests.chaos.run")
    command = (*module, "--inside", part, "--seed", str(seed), "--seconds", str(seconds))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True)
    except subprocess.CalledProcessError as error:
        return Report(violations=[f"{part}: the run crashed: {error.stderr[-3000:]}"])
    except subprocess.TimeoutExpired:
        return Report(violations=[f"{part}: did not finish within {timeout:g} s"])
    document = json.loads(done.stdout.splitlines()[-1])
    measurements = [Measurement(**measurement) for measurement in document["measurements"]]
    return Report(measurements, document["violations"])


if __name__ == "__main__":
    sys.exit(main())
