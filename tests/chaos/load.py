"""Thousands of calls at once, unruly callers and upstreams that misbehave: no call is lost, nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import grpc.aio

from aimanager.v1 import health_pb2
from aimanager.v1.health_pb2_grpc import HealthServiceStub
from aimanager_server.config.settings import Settings
from aimanager_server.resilience.breaker_registry import Breakers
from tests.chaos.checks import verdicts
from tests.chaos.clients import Callers, Seen
from tests.chaos.environment import House, housed
from tests.chaos.fault_injection import LIMIT, Mischief
from tests.chaos.invariants import Books, sample
from tests.chaos.leaks import busy_connections, idle_connections, leaks, more, open_connections, sockets, windows
from tests.chaos.report import Report
from tests.chaos.schedule import CALLERS, NAMES, Plan, plans
from tests.integration.faults.socket_faults import listening
from tests.support.gateway import settings_with

SETTLE_SECONDS = 15.0
RATE = 45.0
MOST_TOLD = 12
"""Violations of one kind that are told."""


def settings_of(upstreams: list[Mischief]) -> Settings:
    """Limits of about LIMIT, places and quotas that run out, several keys, a route, hedging."""
    callers = {name: "narrow" if name == "narrow" else "wide" for group in CALLERS.values() for name in group}
    return settings_with(
        server={"max_in_flight": 330, "max_in_flight_per_caller": 180, "shed_lag_seconds": 2.0},
        patience=dict.fromkeys(
            ("first_token_seconds", "first_token_reasoning_seconds", "idle_text_seconds", "idle_tool_call_seconds",
             "idle_reasoning_seconds"), LIMIT
        ),
        retry={"base_seconds": 0.02},
        breaker={"failure_threshold": 8, "window_share": 0.8, "probe_seconds": 0.3, "open_seconds": 0.3,
                 "longest_open_seconds": 1.0, "refused_seconds": 0.5},
        hedging={"enabled": True, "share": 0.3, "least_seconds": 0.05},
        routes={"mix": {"targets": ["first/m", "second/m", "third/m"], "policy": "weighted", "weights": [2, 1, 1]}},
        models={f"{name}/m": {"prices": {"input": "1.00", "output": "2.00"}} for name in NAMES},
        tiers={"wide": {"tokens_per_minute": 10_000_000, "providers": {"second": {"tokens_per_minute": 9_000_000}}},
               "narrow": {"tokens_per_minute": 6_000, "requests_per_minute": 400}},
        callers={name: {"token_sha256": _digest(name), "tier": tier} for name, tier in callers.items()},
        providers={one.name: {"base_url": one.url, "api_key": f"sk-of-{one.name}", **one.said}
                   if "keys" not in one.said else {"base_url": one.url, **one.said} for one in upstreams},
    )  # fmt: skip


def _digest(name: str) -> str:
    return hashlib.sha256(f"token-of-{name}".encode()).hexdigest()


def storm(seed: int, seconds: float) -> Report:
    """Let it loose, then look at what is left."""
    report = Report()
    keys = [{"api_key": f"sk-number-{number}", "weight": number} for number in (1, 2, 3)]
    upstreams = [
        Mischief("first", seed, 0.45, keys=keys, key_spread="least_loaded"),
        Mischief("second", seed, 0.5, wire="claude", max_in_flight=60),
        Mischief("third", seed, 0.6, probe="off", max_connections=120),
    ]
    with listening(*upstreams):
        gc.collect()
        before = sockets()
        with housed(settings_of(upstreams)) as house:
            asyncio.run(_storm(house, upstreams, plans(seed, seconds, RATE), seconds, report))
        gc.collect()
        time.sleep(0.3)
        report.at_most("storm: upstream connections after the stop", open_connections(list(upstreams)), 0)
        report.at_most("storm: sockets more than before the start", sockets() - before, SOCKETS_OF_GRPC)
    return report


SOCKETS_OF_GRPC = 4
"""What its poller keeps for as long as the process lives."""


async def _storm(house: House, upstreams: list[Mischief], calls: list[Plan], seconds: float, report: Report) -> None:
    callers = Callers(house.target)
    warm = await callers.play([_fair(name, number) for number, name in enumerate(NAMES)])
    tasks, timers = house.tasks(), house.timers()
    began = time.monotonic()
    seen = await callers.play(calls)
    report.told("storm: seconds", time.monotonic() - began)
    books_of_late = windows(house)
    lag = house.app.lag.seconds()
    settling = await _settle(house, callers, upstreams)
    everything = [*warm, *seen, *settling]
    _tell(report, seen, callers, upstreams)
    report.told("storm: loop lag after, s", lag)
    for counted in ("retries", "fallbacks", "hedges", "interruptions", "probes"):
        report.told(f"storm: {counted}", sample(house, f"aimanager_{counted}_total"))
    await asyncio.sleep(0.3)
    _look_for_leaks(report, house, upstreams, tasks, timers)
    books = Books(house, everything, await _summary(house))
    _violated(report, "outcome", verdicts(everything))
    _violated(report, "books", books.mistakes(upstreams))
    late, untold = _parted(books.untold(), "FIRST_TOKEN_TIMEOUT")
    _violated(report, "tokens that callers were not told of", untold)
    _violated(report, "tokens of late first tokens that callers were not told of", late, most_told=3)
    _violated(report, "limits", _unsettled(books, books_of_late, seen))
    await callers.aclose()


def _fair(name: str, number: int) -> Plan:
    return Plan(f"s-{number}", 0.0, "anna", f"s{number}", f"{name}/m", (), number % 2 == 0, False, 5.0)


async def _settle(house: House, callers: Callers, upstreams: list[Mischief]) -> list[Seen]:
    """Let the upstreams be well, and call until every circuit is closed and nobody probes any more."""
    for upstream in upstreams:
        upstream.is_good = True
    (breakers,) = house.parts(Breakers)
    seen: list[Seen] = []
    ends = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < ends:
        shut = [name for name in NAMES if breakers.shut(name)]
        if not shut and not house.app.prober.probing and len(seen) > 30:
            break
        number = 1000 + len(seen)
        seen += await callers.play([_fair(name, number + at) for at, name in enumerate(NAMES * 2)])
        await asyncio.sleep(0.1)
    return seen


async def _summary(house: House) -> health_pb2.MetricsRow:
    async with grpc.aio.insecure_channel(house.target) as channel:
        stub: Any = HealthServiceStub(channel)
        key = (("authorization", "Bearer token-of-anna"),)
        said = await stub.GetMetricsSummary(health_pb2.GetMetricsSummaryRequest(), metadata=key)
        total: health_pb2.MetricsRow = said.total
        return total


def _tell(report: Report, seen: list[Seen], callers: Callers, upstreams: list[Mischief]) -> None:
    report.told("storm: calls", len(seen))
    report.at_least("storm: calls in flight at the peak", callers.peak, 300)
    ends = Counter(one.reason or one.code for one in seen)
    for end, count in ends.most_common():
        report.told(f"storm: ended {end}", count)
    report.told("storm: answers from a repeat", sum(one.from_cache for one in seen))
    report.told("storm: streams restarted", sum("restarted" in one.kinds for one in seen))
    requests = sum(len(one.requests) for one in upstreams)
    report.told("storm: requests upstream", requests)
    report.told("storm: of them answered well, %", 100 * sum(one.did["well"] for one in upstreams) / max(requests, 1))


def _look_for_leaks(
    report: Report, house: House, upstreams: list[Mischief], tasks: Counter[str], timers: Counter[str]
) -> None:
    after_tasks, after_timers = house.tasks(), house.timers()
    report.at_most("storm: tasks more than before", (after_tasks - tasks).total(), 0)
    report.at_most("storm: timers more than before", (after_timers - timers).total(), 0)
    if after_tasks - tasks:
        report.violated(f"leak: tasks {more(tasks, after_tasks)}")
    if after_timers - timers:
        report.violated(f"leak: timers {more(timers, after_timers)}")
    report.at_most("storm: connections that requests hold", busy_connections(house, NAMES), 0)
    spare = open_connections(list(upstreams)) - idle_connections(house, NAMES)
    report.at_most("storm: upstream connections that are not idle", spare, 0)
    found = list(leaks(house))
    report.at_most("storm: places, keys, circuits and repeats still held", len(found), 0)
    for one in found:
        report.violated(f"leak: {one}")
    if house.app.prober.probing:
        report.violated(f"leak: still probed are {house.app.prober.probing}")


def _unsettled(books: Books, said: dict[tuple[str, str], float], seen: list[Seen]) -> Iterator[str]:
    """Where a caller's minute is not what its calls took."""
    for (caller, quota), total in said.items():
        if total < 0:
            yield f"{caller} has used {total:g} of {quota}"
    for caller in CALLERS["late"]:
        if caller != "narrow":
            took = sum(books.ledger(one.plan.id for one in seen if one.plan.caller == caller))
            if said.get((caller, "tokens_per_minute"), 0.0) != took:
                yield f"{caller}: {said.get((caller, 'tokens_per_minute'))} tokens are counted, {took} were spent"


def _parted(found: Iterable[str], word: str) -> tuple[list[str], list[str]]:
    """Those that say the word, and the others."""
    everything = list(found)
    return [one for one in everything if word in one], [one for one in everything if word not in one]


def _violated(report: Report, kind: str, found: Iterable[str], most_told: int = MOST_TOLD) -> None:
    wrong = list(found)
    report.at_most(f"storm: violations: {kind}", len(wrong), 0)
    for one in wrong[:most_told]:
        report.violated(f"{kind}: {one}")
    if len(wrong) > most_told:
        report.violated(f"{kind}: and {len(wrong) - most_told} more")
