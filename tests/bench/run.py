"""Measure the cost of a call, next to a bare gRPC server and, with --against, to another commit."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from tests.support.paths import ROOT

from .call_profile import call_profile
from .conversations import conversation_parts
from .embedded import embedded
from .facade import facade_overhead
from .figures import AGAINST, ECHO, GATEWAY, OFF, Figure, table
from .measurements import Bench, added_latency, cold_start, cpu, resident_memory, stream_memory
from .optimizations import optimizations
from .processes import free_port, started
from .revision import WORKING_TREE, Revision, commit_of, export

RESULTS = ROOT / "build" / "bench.json"
PARTS = ("cpu", "latency", "facade", "streams", "start", "embedded", "profile", "conversations", "optimization")
LARGE_PARTS = ("full_store",)
"""Parts that run only if they are named: they take minutes or gigabytes."""


async def measure(
    revisions: dict[str, Revision], parts: Collection[str], rounds: int, latency_calls: int
) -> list[Figure]:
    """Run the requested parts of the benchmark."""
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        upstream = await stack.enter_async_context(started(port, "tests.bench.upstream", str(port)))
        bench = Bench(upstream, revisions, folder)
        if "start" in parts:
            figures.append(await cold_start(bench))
        if not {"cpu", "latency", "facade"}.isdisjoint(parts):
            async with bench.servers() as servers:
                if "cpu" in parts:
                    figures += await cpu(servers, rounds)
                if "latency" in parts:
                    figures += await added_latency(bench, servers, latency_calls)
                if "facade" in parts:
                    figures.append(facade_overhead(servers[ECHO].address, rounds))
                figures.append(resident_memory(servers))
        if "streams" in parts:
            figures.append(await stream_memory(bench))
        if "embedded" in parts:
            figures += await embedded(bench, rounds)
        figures += await conversation_parts(parts, rounds)
        if "optimization" in parts:
            figures += await optimizations(bench, rounds)
        if "profile" in parts:
            figures += await call_profile(bench, rounds)
    return figures


def main() -> None:
    """Measure, print a table and write build/bench.json."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--against", metavar="REV", help="commit to compare the working tree with, in alternating rounds"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of which the median counts (default: %(default)s)"
    )
    parser.add_argument(
        "--latency-calls", type=int, default=10_000, metavar="N", help="sequential calls (default: %(default)s)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*PARTS, *LARGE_PARTS),
        default=PARTS,
        help="parts to run (default: all but full_store)",
    )
    arguments = parser.parse_args()
    revisions = {GATEWAY: WORKING_TREE}
    if arguments.against is not None:
        revisions = {AGAINST: export(arguments.against), GATEWAY: WORKING_TREE}
    figures = uvloop.run(measure(revisions, arguments.only, arguments.rounds, arguments.latency_calls))
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"environment": environment(revisions), "figures": [figure.to_json() for figure in figures]}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(report_text(figures))


def report_text(figures: list[Figure]) -> str:
    """Return the figures for a terminal, with the optimizations and the profile in separate tables."""
    profile = [figure for figure in figures if figure.name.startswith("profile_")]
    switched = [figure for figure in figures if figure.floor == OFF]
    others = [figure for figure in figures if figure not in profile and figure not in switched]
    sections = (
        ("", others, "floor"),
        ("Optimizations, on and off", switched, "off"),
        ("CPU of a sequential unary call", profile, "floor"),
    )
    return "\n\n".join(table(title, rows, floor) for title, rows, floor in sections if rows)


def environment(revisions: dict[str, Revision]) -> dict[str, object]:
    """Return what the figures depend on."""
    return {
        "commit": commit_of("HEAD"),
        "against": revisions[AGAINST].name if AGAINST in revisions else None,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
