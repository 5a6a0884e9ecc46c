"""Throws everything at servers at once, and says what broke: `make chaos`.

Usage: make chaos [SECONDS=60] [ARGS="--seed 7 --part storm"]. What callers and upstreams do is told by the seed, so
that a storm can be raised again; in which order it reaches the server is not.
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

from tests.chaos.bursts import herds
from tests.chaos.cancels import cancels
from tests.chaos.defaults import defaults
from tests.chaos.load import storm
from tests.chaos.races import races
from tests.chaos.report import Figure, Report, table

PARTS: dict[str, Callable[[int, float], Report]] = {
    "storm": storm,
    "cancels": lambda seed, seconds: cancels(),
    "races": lambda seed, seconds: races(seed),
    "herds": lambda seed, seconds: herds(seed),
    "defaults": lambda seed, seconds: defaults(min(seconds, 60.0)),
}
LANES = (("storm", "cancels", "races", "herds"), ("defaults",))
"""What runs one after the other, beside the other lane. Each part has a process of its own."""

LONGEST_SECONDS = 100.0
"""What a part may take beside the time that was asked for."""


def main() -> int:
    """Run the parts, print what was found; 1 where something is wrong."""
    said = _arguments()
    if said.inside:
        print(json.dumps(asdict(PARTS[said.inside](said.seed, said.seconds))))
        return 0
    print(f"seed {said.seed}", flush=True)
    began = monotonic()
    lanes = [[part for part in lane if said.part in ("", part)] for lane in LANES]
    with ThreadPoolExecutor(len(lanes)) as pool:
        reports = list(pool.map(lambda lane: _run(lane, said.seed, said.seconds), lanes))
    report = Report()
    for one in reports:
        report.add(one)
    report.told("seconds in all", monotonic() - began)
    print(table(report.figures))
    for violation in report.violations:
        print(f"VIOLATED {violation}")
    verdict = "good" if report.is_good else f"bad, see above; to see it again: --seed {said.seed}"
    print(f"chaos: {verdict}")
    return 0 if report.is_good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the storm and the outages last")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    parser.add_argument("--part", choices=("", *PARTS), default="", help="one part alone")
    parser.add_argument("--inside", choices=("", *PARTS), default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(parts: Sequence[str], seed: int, seconds: float) -> Report:
    report = Report()
    for part in parts:
        report.add(_run_one(part, seed, seconds))
    return report


def _run_one(part: str, seed: int, seconds: float) -> Report:
    command = [
        sys.executable,
        "-m",
        "tests.chaos.run",
        "--inside",
        part,
        "--seed",
        str(seed),
        "--seconds",
        str(seconds),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + LONGEST_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        return Report(violations=[f"{part}: the run itself broke: {error.stderr[-3000:]}"])
    except subprocess.TimeoutExpired:
        return Report(violations=[f"{part}: was not done after {seconds + LONGEST_SECONDS:g} seconds"])
    said = json.loads(done.stdout.splitlines()[-1])
    return Report([Figure(**figure) for figure in said["figures"]], said["violations"])


if __name__ == "__main__":
    sys.exit(main())
