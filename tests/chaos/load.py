"""Thousands of calls against faulty upstreams, with callers that cancel, read slowly and repeat requests.

Every call must end as documented, all reports must agree, and nothing may leak.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import grpc.aio

from aimanager.v1 import metrics_pb2
from aimanager.v1.metrics_pb2_grpc import MetricsServiceStub
from aimanager_server.config.settings import Settings
from aimanager_server.resilience.breaker_registry import BreakerRegistry
from tests.chaos.checks import violations
from tests.chaos.clients import Clients, Observation
from tests.chaos.environment import ObservedGateway, observed_gateway
from tests.chaos.fault_injection import TIMEOUT, FaultInjectingUpstream
from tests.chaos.invariants import Reconciliation, metric_total
from tests.chaos.leaks import (
    busy_connections,
    connections_not_idle,
    increases,
    leaks,
    open_connections,
    open_sockets,
    quota_usage,
)
from tests.chaos.report import Report
from tests.chaos.requests import provider_tables
from tests.chaos.schedule import CALLERS, PROVIDERS, PlannedCall, planned_calls
from tests.integration.faults.gateway import TIMEOUT_SETTINGS
from tests.integration.faults.socket_faults import served_upstreams
from tests.support.gateway import settings_with
from tests.support.tokens import bearer, caller_settings

RECOVERY_SECONDS = 15.0
RATE = 45.0
MAX_LISTED = 12
"""Violations of one kind that are listed; the others are only counted."""

GRPC_SOCKETS = 4
"""Sockets that gRPC's poller keeps open as long as the process lives."""

ADMIN = "anna"
"""The caller that reads the metrics of all callers."""

COUNTERS = ("retries", "fallbacks", "hedged_requests", "stream_interruptions", "provider_probes")


def gateway_settings(upstreams: list[FaultInjectingUpstream]) -> Settings:
    """Return settings with short timeouts, scarce permits and quotas, several keys, a route and hedging."""
    callers = {name: "narrow" if name == "narrow" else "wide" for group in CALLERS.values() for name in group}
    return settings_with(
        server={"max_in_flight": 330, "max_in_flight_per_caller": 180, "max_event_loop_lag_seconds": 2.0},
        stream_timeouts=dict.fromkeys(TIMEOUT_SETTINGS, TIMEOUT),
        retry={"initial_backoff_seconds": 0.02},
        circuit_breaker={"failure_threshold": 8, "failure_rate_threshold": 0.8, "probe_interval_seconds": 0.3,
                         "open_seconds": 0.3, "max_open_seconds": 1.0, "credentials_open_seconds": 0.5},
        hedging={"enabled": True, "max_ratio": 0.3, "min_delay_seconds": 0.05},
        routes={"mix": {"targets": ["first/m", "second/m", "third/m"], "policy": "weighted", "weights": [2, 1, 1]}},
        models={f"{name}/m": {"prices": {"input": "1.00", "output": "2.00"}} for name in PROVIDERS},
        tiers={"wide": {"tokens_per_minute": 10_000_000, "providers": {"second": {"tokens_per_minute": 9_000_000}}},
               "narrow": {"tokens_per_minute": 6_000, "requests_per_minute": 400}},
        callers={name: caller_settings(name, tier=tier, role="admin" if name == ADMIN else "caller")
                 for name, tier in callers.items()},
        providers=provider_tables(upstreams),
    )  # fmt: skip


def load(seed: int, seconds: float) -> Report:
    """Run the load, then check all reports and look for leaks."""
    report = Report()
    keys = [{"api_key": f"sk-number-{number}", "weight": number} for number in (1, 2, 3)]
    upstreams = [
        FaultInjectingUpstream("first", seed, 0.45, keys=keys, key_selection="least_loaded"),
        FaultInjectingUpstream("second", seed, 0.5, wire="anthropic", max_in_flight=60),
        FaultInjectingUpstream("third", seed, 0.6, probe="off", max_connections=120),
    ]
    with served_upstreams(*upstreams):
        gc.collect()
        sockets_before = open_sockets()
        with observed_gateway(gateway_settings(upstreams)) as gateway:
            asyncio.run(_run(gateway, upstreams, planned_calls(seed, seconds, RATE), report))
        gc.collect()
        time.sleep(0.3)
        report.at_most("load: upstream connections after the stop", open_connections(upstreams), 0)
        report.at_most("load: additional sockets after the stop", open_sockets() - sockets_before, GRPC_SOCKETS)
    return report


async def _run(
    gateway: ObservedGateway, upstreams: list[FaultInjectingUpstream], calls: list[PlannedCall], report: Report
) -> None:
    clients = Clients(gateway.target)
    warm_up = await clients.run([_healthy_call(name, number) for number, name in enumerate(PROVIDERS)])
    tasks, timers = gateway.tasks(), gateway.timers()
    started_at = time.monotonic()
    observations = await clients.run(calls)
    report.record("load: seconds", time.monotonic() - started_at)
    usage_by_quota = quota_usage(gateway)
    lag = gateway.app.state.lag_monitor.lag_seconds()
    recovery = await _recover(gateway, clients, upstreams)
    everything = [*warm_up, *observations, *recovery]
    _record_counts(report, observations, clients, upstreams)
    report.record("load: event loop lag at the end, s", lag)
    for counter in COUNTERS:
        report.record(f"load: {counter}", metric_total(gateway, f"aimanager_{counter}_total"))
    not_idle = await connections_not_idle(gateway, upstreams)
    report.at_most("load: upstream connections that are not idle", not_idle, 0)
    await asyncio.sleep(0.3)
    _check_leaks(report, gateway, tasks, timers)
    reconciliation = Reconciliation(gateway, everything, await _metrics_summary(gateway))
    _report_violations(report, "outcome", violations(everything))
    _report_violations(report, "mismatch", reconciliation.mismatches(upstreams))
    late, others = _partition(reconciliation.unreported_tokens(), "FIRST_TOKEN_TIMEOUT")
    _report_violations(report, "tokens not reported to the caller", others)
    # A first token that arrives just after its timeout is paid for, but its attempt has already been reported.
    _report_violations(report, "tokens not reported after a first-token timeout", late, max_listed=3)
    _report_violations(report, "quota", _wrong_quota_usage(reconciliation, usage_by_quota, observations))
    await clients.aclose()


def _healthy_call(provider: str, number: int) -> PlannedCall:
    return PlannedCall(f"s-{number}", 0.0, "anna", f"s{number}", f"{provider}/m", (), number % 2 == 0, False, 5.0)


async def _recover(
    gateway: ObservedGateway, clients: Clients, upstreams: list[FaultInjectingUpstream]
) -> list[Observation]:
    """Stop injecting faults and send calls until every breaker is closed and no probe is active."""
    for upstream in upstreams:
        upstream.is_healthy = True
    (breakers,) = gateway.instances(BreakerRegistry)
    observations: list[Observation] = []
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        not_closed = [name for name in PROVIDERS if breakers.not_closed(name)]
        if not not_closed and not gateway.app.state.prober.active_providers and len(observations) > 30:
            break
        number = 1000 + len(observations)
        calls = [_healthy_call(name, number + offset) for offset, name in enumerate(PROVIDERS * 2)]
        observations += await clients.run(calls)
        await asyncio.sleep(0.1)
    return observations


async def _metrics_summary(gateway: ObservedGateway) -> metrics_pb2.MetricsRow:
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub: Any = MetricsServiceStub(channel)
        summary = await stub.GetMetricsSummary(metrics_pb2.GetMetricsSummaryRequest(), metadata=bearer(ADMIN))
        total: metrics_pb2.MetricsRow = summary.total
        return total


def _record_counts(
    report: Report, observations: list[Observation], clients: Clients, upstreams: list[FaultInjectingUpstream]
) -> None:
    report.record("load: calls", len(observations))
    report.at_least("load: calls in flight at the peak", clients.peak, 300)
    outcomes = Counter(one.reason or one.code for one in observations)
    for outcome, count in outcomes.most_common():
        report.record(f"load: outcome {outcome}", count)
    report.record("load: replayed responses", sum(one.from_cache for one in observations))
    report.record("load: restarted streams", sum("restarted" in one.event_types for one in observations))
    requests = sum(len(upstream.requests) for upstream in upstreams)
    healthy = sum(upstream.outcomes["healthy"] for upstream in upstreams)
    report.record("load: upstream requests", requests)
    report.record("load: upstream requests without a fault, %", 100 * healthy / max(requests, 1))


def _check_leaks(
    report: Report,
    gateway: ObservedGateway,
    tasks: Counter[str],
    timers: Counter[str],
) -> None:
    tasks_after, timers_after = gateway.tasks(), gateway.timers()
    report.at_most("load: additional tasks", (tasks_after - tasks).total(), 0)
    report.at_most("load: additional timers", (timers_after - timers).total(), 0)
    if tasks_after - tasks:
        report.violation(f"leak: tasks {increases(tasks, tasks_after)}")
    if timers_after - timers:
        report.violation(f"leak: timers {increases(timers, timers_after)}")
    report.at_most("load: pooled connections in use", busy_connections(gateway), 0)
    found = list(leaks(gateway))
    report.at_most("load: resources still held", len(found), 0)
    for one in found:
        report.violation(f"leak: {one}")
    if gateway.app.state.prober.active_providers:
        report.violation(f"leak: still probing {gateway.app.state.prober.active_providers}")


def _wrong_quota_usage(
    reconciliation: Reconciliation, usage: dict[tuple[str, str], float], observations: list[Observation]
) -> Iterator[str]:
    """Compare the quota usage of the late callers with the tokens of their calls."""
    for (caller, quota), total in usage.items():
        if total < 0:
            yield f"{caller} has used {total:g} of {quota}"
    for caller in CALLERS["late"]:
        if caller != "narrow":
            spent = sum(reconciliation.tokens(one.plan.id for one in observations if one.plan.caller == caller))
            counted = usage.get((caller, "tokens_per_minute"), 0.0)
            if counted != spent:
                yield f"{caller}: quota usage is {counted} tokens, attempts have {spent}"


def _partition(found: Iterable[str], word: str) -> tuple[list[str], list[str]]:
    """Return the texts that contain the word, and the others."""
    texts = list(found)
    return [text for text in texts if word in text], [text for text in texts if word not in text]


def _report_violations(report: Report, kind: str, found: Iterable[str], max_listed: int = MAX_LISTED) -> None:
    texts = list(found)
    report.at_most(f"load: violations: {kind}", len(texts), 0)
    for text in texts[:max_listed]:
        report.violation(f"{kind}: {text}")
    if len(texts) > max_listed:
        report.violation(f"{kind}: and {len(texts) - max_listed} more")
