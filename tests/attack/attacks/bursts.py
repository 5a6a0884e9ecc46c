"""Thousands of calls at once: none is lost, and every refusal says so and when to retry."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections import Counter

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.attack.attack import Attack, Received, Target
from tests.attack.requests import ATTACKER, SLOW_MODEL, generate_request, open_channel, outcome_of

BURST_SECONDS = 25.0
SMALL, MANY_CONNECTIONS = 2000, 50
LARGE = 3000
REJECTED = re.compile(r'^aimanager_rejected_requests_total\{reason="(?!RATE)[^}]*\} ([\d.e+]+)$', re.MULTILINE)
RAISED_LIMITS = {
    "server": {"max_in_flight": 4000, "max_in_flight_per_caller": 4000, "max_event_loop_lag_seconds": 30.0}
}
"""Limits that take every call of a burst."""


async def _burst(target: Target, calls: int, connections: int) -> Received:
    channels = [open_channel(target.port) for _ in range(connections)]
    request = generate_request(model=SLOW_MODEL)
    for channel in channels:
        await channel.channel_ready()
    sent = [
        outcome_of(
            GenerationServiceStub(channels[number % connections]).Generate(
                request, metadata=ATTACKER, timeout=BURST_SECONDS
            )
        )
        for number in range(calls)
    ]
    outcomes = Counter(await asyncio.gather(*sent))
    for channel in channels:
        await channel.close()
    lost = calls - outcomes["OK"]
    unexplained = lost - outcomes["OVERLOADED"]
    uncounted = max(outcomes["OVERLOADED"] - await asyncio.to_thread(_rejected, target.metrics_port), 0)
    return Received(outcomes, {"lost": lost, "unexplained": unexplained, "uncounted": uncounted})


def _rejected(metrics_port: int) -> float:
    """Return the number of calls that the metrics count as rejected."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10) as response:
        return sum(map(float, REJECTED.findall(response.read().decode())))


async def _burst_on_one_connection(target: Target) -> Received:
    return await _burst(target, LARGE, 1)


async def _burst_on_many_connections(target: Target) -> Received:
    return await _burst(target, SMALL, MANY_CONNECTIONS)


EXPLAINED = {"unexplained": 0, "uncounted": 0}

ATTACKS = (
    Attack(
        "burst_one_connection",
        f"{LARGE} calls at once on one connection, with limits that take them",
        _burst_on_one_connection,
        RAISED_LIMITS,
        max_added_wait_ms=None,
        max_peak_mib=400.0,
        max_figures={"lost": 0, **EXPLAINED},
    ),
    Attack(
        "burst_connections",
        f"{SMALL} calls at once on {MANY_CONNECTIONS} connections, with limits that take them",
        _burst_on_many_connections,
        RAISED_LIMITS,
        max_added_wait_ms=None,
        max_peak_mib=400.0,
        max_figures={"lost": 0, **EXPLAINED},
    ),
    Attack(
        "burst_default_limits",
        f"{SMALL} calls at once on {MANY_CONNECTIONS} connections, with the default limits",
        _burst_on_many_connections,
        max_figures=EXPLAINED,
    ),
)
