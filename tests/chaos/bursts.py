"""Retry storms against a provider that is down, and the thundering herd when a provider recovers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from tests.chaos.environment import ObservedGateway, observed_gateway
from tests.chaos.report import Report
from tests.chaos.requests import Client, provider_tables, wait_until
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Request, Upstream, list_models
from tests.support.gateway import settings_with

CALLS = 1000
CONCURRENCY = 60
HERD_SIZE = 150
RESPONSE_SECONDS = 0.2
NEVER_OPENS: dict[str, Any] = {
    "failure_threshold": 1_000_000,
    "minimum_calls": 1_000_000,
    "failure_rate_threshold": 1.0,
}
LAG_LIMIT = {"max_event_loop_lag_seconds": 2.0}
"""More than the default: calls that a busy machine rejects would count as failures."""

CALL_INTERVAL_SECONDS = 0.15
"""Pause between two calls of one caller of the herd."""


def bursts(seed: int) -> Report:
    """Run both with default settings; the breaker is off for the retry storm, which it would end at once."""
    report = Report()
    down, behind_breaker = Upstream(fails(503), name="down"), Upstream(fails(503), name="behind_breaker")
    spare = Upstream(responds(), name="spare")
    with served_upstreams(down, spare), _gateway([down, spare], circuit_breaker=NEVER_OPENS) as gateway:
        asyncio.run(_retry_storm(gateway, down, report, seed))
    recovering = Upstream(fails(503), name="recovering", probe_responder=fails(503))
    upstreams = (behind_breaker, recovering, spare)
    with served_upstreams(*upstreams), _gateway(upstreams) as gateway:
        asyncio.run(_retry_storm_behind_breaker(gateway, behind_breaker, report))
        asyncio.run(_herd(gateway, recovering, report, seed))
    return report


@contextmanager
def _gateway(upstreams: Sequence[Upstream], **sections: Any) -> Iterator[ObservedGateway]:
    with observed_gateway(settings_with(providers=provider_tables(upstreams), server=LAG_LIMIT, **sections)) as gateway:
        yield gateway


async def _retry_storm(gateway: ObservedGateway, down: Upstream, report: Report, seed: int) -> None:
    client, random, started_at = Client(gateway.target), Random(f"{seed}/retries"), time.monotonic()
    fallbacks = [("spare/m",) if random.random() < 0.5 else () for _ in range(CALLS)]
    await _call_all(client, [("down/m", *each) for each in fallbacks])
    seconds = time.monotonic() - started_at
    report.record("retries: seconds", seconds)
    report.record("retries: calls", CALLS)
    retries = len(down.requests) - CALLS
    report.at_most("retries: of a provider that is down", retries, CALLS * 0.1 + 10 + seconds)
    counted = gateway.app.state.metrics.registry.get_sample_value("aimanager_retries_total", {"provider": "down"})
    if counted != retries:
        report.violation(f"retries: aimanager_retries_total is {counted}, the provider received {retries}")
    await client.channel.close()


async def _retry_storm_behind_breaker(gateway: ObservedGateway, upstream: Upstream, report: Report) -> None:
    client, started_at = Client(gateway.target), time.monotonic()
    await _call_all(client, [("behind_breaker/m",)] * CALLS)
    probes = len(upstream.probes)
    report.record("retries: with a breaker: seconds", time.monotonic() - started_at)
    # Calls that were in flight when the breaker opened had passed it before.
    report.at_most("retries: with a breaker: requests", len(upstream.requests), CONCURRENCY + 5 + 10 + probes)
    await client.channel.close()


async def _call_all(client: Client, models: list[tuple[str, ...]]) -> None:
    remaining = iter(models)

    async def call_one_after_another() -> None:
        for model, *fallbacks in remaining:
            await client.result(client.generate(model, *fallbacks))

    await asyncio.gather(*(call_one_after_another() for _ in range(CONCURRENCY)))


async def _herd(gateway: ObservedGateway, upstream: Upstream, report: Report, seed: int) -> None:
    client = Client(gateway.target)
    random, stop = Random(f"{seed}/herd"), asyncio.Event()
    succeeded: list[bool] = []

    async def caller(delay: float) -> None:
        await asyncio.sleep(delay)
        while not stop.is_set():
            succeeded.append((await client.result(client.generate("recovering/m", "spare/m"))).text is not None)
            await asyncio.sleep(CALL_INTERVAL_SECONDS)

    callers = [asyncio.create_task(caller(random.uniform(0.0, 1.0))) for _ in range(HERD_SIZE)]
    await asyncio.sleep(5.0)
    requests_while_down = len(upstream.requests)
    upstream.set_script(responds(delay=RESPONSE_SECONDS))
    upstream.probe_responder = list_models
    recovered_at = time.monotonic()
    await wait_until(lambda: len(upstream.requests) > requests_while_down, 8.0)
    report.at_most("herd: first call admitted after the recovery, s", time.monotonic() - recovered_at, 5.0)
    await asyncio.sleep(1.5)
    stop.set()
    await asyncio.gather(*callers)
    requests = upstream.requests[requests_while_down:]
    first_at = requests[0].received_at if requests else 0.0
    report.record("herd: callers", HERD_SIZE)
    report.record("herd: calls", len(succeeded))
    report.at_most("herd: failed calls", succeeded.count(False), 0)
    report.at_most("herd: requests while down", requests_while_down, 5 + 10 + HERD_SIZE)
    report.at_most("herd: requests before the first response", _count_before(requests, first_at + RESPONSE_SECONDS), 1)
    report.record("herd: concurrent requests in the first second", _peak_concurrency(requests, first_at))
    await client.channel.close()


def _count_before(requests: Sequence[Request], time_limit: float) -> int:
    return sum(request.received_at < time_limit for request in requests)


def _peak_concurrency(requests: Sequence[Request], first_at: float) -> int:
    times = [request.received_at for request in requests if request.received_at < first_at + 1.0]
    return max((sum(at <= one < at + RESPONSE_SECONDS for one in times) for at in times), default=0)
